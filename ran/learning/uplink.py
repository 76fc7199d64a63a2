"""How a round's updates reach the servers: each by itself as bytes, or as a sum that the air or masks make of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.learning.algorithms.algorithm import weighted_mean, zeros
from ran.learning.loss_recovery.delivery import deliver
from ran.learning.quarantine import Quarantined, not_finite
from ran.learning.reception import Reception, receive
from ran.learning.transport.transport import Summing
from ran.learning.upload import Message, plain_uploads, uploads
from ran.transfer import Delivery, Exchange, Transfer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.air_exchange import AirExchange, CellSum
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation, FederationState
    from ran.learning.participation import Allotment
    from ran.learning.round import LocalTraining


@dataclass(frozen=True)
class Uplink:
    """What came up in a round.

    Attributes:
        exchanges: that carried updates; their deliveries are the updates'.
        reception: the updates that count.
        protocol: exchanges that carried anything else, both ways.
        num_values: values of one update.
        nmse: |mean - exact|^2 / |exact|^2 over the air, all cells together; 0 for bytes.
        control_bits: of statistics over the air, or of keys and shares.
        pilot_symbols: OFDM symbols of soundings and checks, over the air.
        suspects: UEs whose part of a sum was damaged.
        events: what the log should know.
    """

    exchanges: list[Exchange]
    reception: Reception
    protocol: list[Exchange] = field(default_factory=list)
    num_values: int = 0
    nmse: float = 0.0
    control_bits: int = 0
    pilot_symbols: int = 0
    suspects: tuple[int, ...] = ()
    events: list[dict[str, object]] = field(default_factory=list)

    @property
    def deliveries(self) -> list[Delivery]:
        """Of all updates."""
        return [delivery for exchange in self.exchanges for delivery in exchange.deliveries]

    @property
    def end_s(self) -> float:
        """When the last of it was up; -inf where nothing was sent."""
        return max((exchange.end_s for exchange in (*self.exchanges, *self.protocol)), default=-math.inf)


def gather(
    federation: Federation,
    state: FederationState,
    trained: Sequence[LocalTraining],
    vanished: Collection[int],
    home: NDArray[np.int32],
    num_chosen: int,
    deadline_s: float,
    closes_s: float = math.inf,
    allotment: Allotment | None = None,
) -> Uplink:
    """Bring up the updates of all that ``trained`` and have not ``vanished``; ``home`` says whose edge is whose.

    What has not arrived by ``closes_s`` is given up. ``allotment`` says with which power and share bytes are sent.
    """
    sent = [local for local in trained if local.ue not in vanished]
    if federation.privacy.secure_aggregation is not None:
        return _securely(federation, state, trained, vanished, home, num_chosen)
    if isinstance(federation.transport, Summing):
        return _by_air(
            federation, state, federation.transport, plain_uploads(federation, state, sent, num_chosen), home
        )
    waves = _waves(uploads(federation, state, sent, num_chosen))
    exchanges, arrived = list[Exchange](), list[tuple[Message, Delivery]]()
    for wave in waves:
        transfers = [_transfer(each, deadline_s, allotment) for each in wave]
        up = deliver(federation, state, transfers, closes_s)
        exchanges.append(up)
        arrived += [pair for pair in zip(wave, up.deliveries, strict=True) if pair[1].payload is not None]
    reception = receive(federation, state, arrived)
    return Uplink(exchanges, reception, num_values=_num_values(sent) if reception.heard else 0)


def _transfer(message: Message, deadline_s: float, allotment: Allotment | None) -> Transfer:
    """Return the way up of an update, with what its UE was allotted."""
    ue, plain = (
        message.local.ue,
        Transfer(message.local.ue, "uplink", message.payload, message.local.done_s, deadline_s),
    )
    if allotment is None:
        return plain
    return replace(plain, backoff_db=allotment.backoff_db.get(ue, 0.0), share=allotment.share.get(ue, 0.0))


def _waves(messages: Sequence[Message]) -> list[list[Message]]:
    """Return the first message of every UE, then the second of those that have one, and so on."""
    waves, counts = list[list[Message]](), dict[int, int]()
    for message in messages:
        place = counts.get(message.local.ue, 0)
        counts[message.local.ue] = place + 1
        if place == len(waves):
            waves.append([])
        waves[place].append(message)
    return waves


def _num_values(sent: Sequence[LocalTraining]) -> int:
    return sum(array.size for array in sent[0].update.arrays.values()) if sent else 0


def _securely(
    federation: Federation,
    state: FederationState,
    trained: Sequence[LocalTraining],
    vanished: Collection[int],
    home: NDArray[np.int32],
    num_chosen: int,
) -> Uplink:
    from ran.learning.secure_uplink import gather_securely

    messages = plain_uploads(federation, state, trained, num_chosen)
    # Under its mask nobody could see that an update is not finite, so its UE keeps it.
    reasons = {message.local.ue: reason for message in messages if (reason := not_finite(message.arrays))}
    messages = [message for message in messages if message.local.ue not in reasons]
    # Who sends no update is in the protocol all the same, and then gone.
    silent = {local.ue for local in trained} - {message.local.ue for message in messages}
    messages += [Message(local, zeros(local.update.arrays)) for local in trained if local.ue in silent]
    secure = gather_securely(federation, state, messages, silent | set(vanished), home)
    aside = [Quarantined(place, ue, reason) for place, (ue, reason) in enumerate(sorted(reasons.items()))]
    events: list[dict[str, object]] = [
        {"time_s": secure.protocol[-1].end_s, "event": "secure_sum_failed", "round": state.round + 1, "edge": edge}
        for edge in secure.failed
    ]
    return Uplink(
        exchanges=secure.masked,
        reception=Reception(secure.heard, means=secure.means, quarantined=aside),
        protocol=secure.protocol,
        num_values=_num_values(trained) if secure.heard else 0,
        control_bits=secure.control_bits,
        events=events,
    )


def _by_air(
    federation: Federation,
    state: FederationState,
    transport: Summing,
    messages: Sequence[Message],
    home: NDArray[np.int32],
) -> Uplink:
    from ran.air_exchange import Contribution
    from ran.learning.compression import LinearCompressor

    if not messages:
        return Uplink([], Reception([], means={}))
    compressor, privacy = federation.compression.uplink, federation.privacy.client_level
    assert isinstance(compressor, LinearCompressor), "the air adds up linear maps of updates"
    like = messages[0].local.update.arrays
    shape = compressor.project(like, state.round)
    edges = federation.hierarchy.edge_of(np.arange(federation.simulation.world.num_cells, dtype=np.int32))
    contributions, weights = [], dict[int, float]()
    for message in messages:
        local = message.local
        values = flat(compressor.project(message.arrays, state.round))
        residual = state.residuals.get(local.ue)
        # What was left of an earlier round is not in the clipped update that privacy accounts for.
        if residual is not None and len(residual) == len(values) and privacy is None:
            values = values + residual
        weights[local.ue] = federation.weight(local.update.report)
        cell = _cell(local.ue, state, home, edges)
        contributions.append(Contribution(local.ue, cell, values, weights[local.ue], local.done_s))
    air = transport.superpose(federation.simulation, state.network, contributions, state.round + 1)
    used = [own for own in air.sums if transport.uses(own)]
    means = _means(used, shape, edges, weights)
    spoilt = {edge for edge, mean in means.items() if not_finite(mean)}
    used = [own for own in used if int(edges[own.cell]) not in spoilt]
    _accumulate(state, used)
    lifted = {edge: compressor.lift(mean, like, state.round) for edge, mean in means.items() if edge not in spoilt}
    heard_ues = {ue for own in used for ue in own.ues}
    back = {delivery.ue: delivery for delivery in air.exchange.deliveries}
    heard = [(each.local, back[each.local.ue]) for each in messages if each.local.ue in heard_ues]
    return Uplink(
        exchanges=[air.exchange],
        reception=Reception(heard, means=lifted),
        num_values=sum(array.size for array in like.values()) if used else 0,
        nmse=_nmse(air.sums, weights),
        control_bits=air.control_bits,
        pilot_symbols=air.pilot_symbols,
        suspects=tuple(ue for own in air.sums for ue in own.suspects),
        events=_events(air, transport, state.round + 1, spoilt),
    )


def _cell(ue: int, state: FederationState, home: NDArray[np.int32], edges: NDArray[np.int32]) -> int:
    """Return the cell that a UE's update is summed in: the one that serves it.

    One that has moved to another edge's cell since the round began sends to the edge that it began with, for its update
    is the difference from that edge's model.
    """
    serving = int(state.network.serving_cell[0][ue])
    return serving if edges[serving] == home[ue] else int(np.flatnonzero(edges == home[ue])[0])


def flat(arrays: Arrays) -> NDArray[np.float32]:
    """Return all values one after another, in the order of their names, float32 [num_values]."""
    return np.concatenate([np.asarray(arrays[name], np.float32).ravel() for name in sorted(arrays)])


def shaped(values: NDArray[np.float32], like: Arrays) -> Arrays:
    """Return the values by name in the shapes of ``like``; the inverse of ``flat``."""
    shaped_arrays, offset = dict[str, Any](), 0
    for name in sorted(like):
        size = like[name].size
        shaped_arrays[name] = values[offset : offset + size].reshape(like[name].shape).astype(like[name].dtype)
        offset += size
    return shaped_arrays


def _means(
    used: Sequence[CellSum], like: Arrays, edges: NDArray[np.int32], weights: Mapping[int, float]
) -> dict[int, Arrays]:
    """Return the mean of every edge: of its cells' means, by the weights of their UEs."""
    parts: dict[int, list[CellSum]] = {}
    for own in used:
        parts.setdefault(int(edges[own.cell]), []).append(own)
    return {
        edge: weighted_mean(
            [shaped(own.mean, like) for own in mine], [sum(weights[ue] for ue in own.ues) for own in mine]
        )
        for edge, mine in parts.items()
    }


def _nmse(sums: Sequence[CellSum], weight: Mapping[int, float]) -> float:
    total = sum(sum(weight[ue] for ue in own.ues) for own in sums)
    return sum(own.nmse * sum(weight[ue] for ue in own.ues) for own in sums) / total if total else math.nan


def _accumulate(state: FederationState, used: Sequence[CellSum]) -> None:
    """Keep what truncated UEs did not send for the next round that they take part in."""
    for own in used:
        for ue, left in zip(own.ues, own.unsent, strict=False):
            state.residuals[ue] = left
            if not left.any():
                del state.residuals[ue]


def _events(air: AirExchange, transport: Summing, number: int, spoilt: Collection[int]) -> list[dict[str, object]]:
    end_s = air.exchange.end_s
    found: list[dict[str, object]] = [
        {"time_s": end_s, "event": "quarantined", "round": number, "edge": edge, "reason": "its sum is not finite"}
        for edge in sorted(spoilt)
    ]
    for own in air.sums:
        row = {"time_s": end_s, "event": "air_sum", "round": number, "cell": own.cell, "ues": own.ues}
        found.append({**row, "kept": own.kept, "nmse": own.nmse})
        for ue in own.suspects:
            gain = complex(own.checked[own.ues.index(ue)])
            what = {"cell": own.cell, "ue": ue, "gain": abs(gain), "phase_rad": float(np.angle(gain))}
            fate = "used" if transport.uses(own) else "discarded"
            found.append({"time_s": end_s, "event": "damaged_sum", "round": number, **what, "sum": fate})
    return found

"""What waits in a network that runs: learning's updates and other traffic, as a rule of sharing sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ran.mac.shares_seen import Queues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.network import Direction, Network, NetworkState

_LEARNING = 0


def queues_of(network: Network, state: NetworkState, direction: Direction, window_s: float, quorum: int) -> Queues:
    """Return one direction's queues, by RLC's counters, packets and reports.

    A round, to the MAC, is a deadline: the latest of those of updates that wait and that have arrived. Who has neither
    an update of that deadline waiting nor delivered is still computing, or has no part in the round.
    """
    link, now_s = state.link(direction), state.slot * network.plan.slot_s
    bearer = link.bearer
    waiting = bearer["enqueued"] - bearer["delivered"] - bearer["lost"]
    update = bearer[..., _LEARNING]
    wanted_s = np.where(np.isfinite(update["deadline_s"]), update["deadline_s"], -np.inf)
    until_s = np.maximum(wanted_s, update["arrived_by_s"]).max(axis=1)
    source = network.sources[direction]
    round_s = network.world.round_s
    return Queues(
        left=waiting[..., _LEARNING],
        arrived=update["arrived_by_s"] == np.where(until_s > 0, until_s, np.nan)[:, None],
        backlog=waiting[..., _LEARNING + 1 :].sum(axis=2),
        wait=waits(network, state, direction)[..., _LEARNING + 1 :].max(axis=2),
        budget_s=source.budget_s[:, _LEARNING + 1 :].min(axis=1),
        users=users_of(network, direction),
        rate_bit_s=rates(network, state, direction),
        cell=state.serving_cell,
        share=link.share[..., _LEARNING],
        left_s=np.clip(until_s - now_s, window_s, round_s),
        quorum=quorum,
        round_s=round_s,
        window_s=window_s,
    )


def users_of(network: Network, direction: Direction) -> NDArray[np.int64]:
    """Return the UEs that have traffic in a direction."""
    source = network.sources[direction]
    return np.flatnonzero((source.carries | source.saturated).any(axis=1))


def waits(network: Network, state: NetworkState, direction: Direction) -> NDArray[np.float64]:
    """Return how long every bearer's oldest packet has waited over its budget, [batch, num_ues, num_slices]."""
    now_s = state.slot * network.plan.slot_s - state.stood_still_s[0]
    return np.asarray(state.ledgers[direction].head_delay_s(now_s) / network.sources[direction].budget_s, np.float64)


def rates(network: Network, state: NetworkState, direction: Direction) -> NDArray[np.float64]:
    """Return the rate of every UE by its report if its cell served nobody else, bit/s, [batch, num_ues]."""
    plan = network.plan
    air, _ = network.air_at(state)
    link = air.uplink if direction == "uplink" else air.downlink
    kinds = [getattr(kind, direction) for kind in plan.kinds]
    bits = sum(link.rate_bits[kind].sum(axis=2, dtype=np.float64) for kind in kinds if kind >= 0)
    return np.asarray(np.maximum(bits / (len(kinds) * plan.slot_s), 1.0), np.float64)


def share_out(network: Network, state: NetworkState, direction: Direction) -> None:
    """Let the world's rule set the shares of a direction's slices, once in each of its windows."""
    sharing, link, place = network.world.sharing, state.link(direction), int(direction == "uplink")
    if not sharing.window or direction not in sharing.directions or link.share.shape[2] == 1:
        return
    window = state.slot // sharing.window
    if state.shared_window[place] == window:
        return
    state.shared_window[place] = window
    window_s, quorum = sharing.window * network.plan.slot_s, sharing.quorum(network.world.num_ues)
    set_shares(network, state, direction, sharing.share(queues_of(network, state, direction, window_s, quorum)))


def set_shares(network: Network, state: NetworkState, direction: Direction, share: NDArray[np.float64]) -> None:
    """Guarantee learning this share of every cell, [batch, num_cells], and the rest to the others by their own."""
    link = state.link(direction)
    others = network.plan.uplink.slices["share"][_LEARNING + 1 :]
    link.share[..., _LEARNING] = share
    link.share[..., _LEARNING + 1 :] = (1 - share)[..., None] * others / others.sum()

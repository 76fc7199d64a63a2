"""One round of split learning over the network: every batch's activations up and gradients down, on one clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from channel.seeding import stream, stream_key
from ran.energy import compute_time_s
from ran.learning.algorithms.algorithm import difference
from ran.learning.payload import encode
from ran.learning.split.book import UE_SIDE, Book
from ran.learning.split.draws import Draws
from ran.learning.split.exchange import exchange
from ran.learning.split.micro_batches import MicroBatches
from ran.learning.split.party import Party
from ran.learning.split.pipelining import Leg
from ran.transfer import Delivery, Transfer

if TYPE_CHECKING:
    import numpy as np
    import simpy
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation
    from ran.learning.split.choices import Choice
    from ran.learning.split.counting import SideCount
    from ran.learning.split.cut import Node
    from ran.learning.split.eavesdropper import Eavesdropper
    from ran.learning.split.exchange import Message
    from ran.learning.split.lockstep import Lockstep
    from ran.learning.split.memory import SplitMemory
    from ran.learning.split.party import Outcome
    from ran.learning.split.rates import WidthRule
    from ran.learning.split.settings import SplitLearning
    from ran.learning.split.split_network import SplitNetwork
    from ran.virtual_clock import Process, VirtualClock


@dataclass
class Turn:
    """What one UE does in one round, and what has become of it.

    Attributes:
        batches: samples of each step, by their places among the UE's own.
        choice: its cut, width and quantiser, where it has its own.
        first: number of its first batch among the UE's in this round.
        vanishes_at: the step at which it disappears with its activations under way; None: it stays.
        received: its side of the model, as it came; empty before.
        parties: its own side and the servers', by node.
        losses: of every batch that came back, and its samples.
        paths: of every batch that came back, the ways of its micro-batches.
        flops: that its processor has done.
        received_s, done_s: when it had the model, and when it was through with its batches; NaN before.
        result: its side of the model as the gNB has it at the end; None: it never came.
        alive: whether it is there and its links hold.
    """

    ue: int
    batches: list[NDArray[np.int64]]
    vanishes_at: int | None = None
    choice: Choice | None = None
    first: int = 0
    received: Arrays = field(default_factory=dict)
    parties: dict[Node, Party] = field(default_factory=dict)
    losses: list[tuple[float, int]] = field(default_factory=list)
    paths: list[list[list[Leg]]] = field(default_factory=list)
    flops: float = 0.0
    received_s: float = math.nan
    done_s: float = math.nan
    result: Arrays | None = None
    alive: bool = True

    @property
    def vanished(self) -> bool:
        """Whether it disappeared."""
        return not self.alive and self.vanishes_at is not None


@dataclass
class SplitRound:
    """The processes of one round, and what they share.

    Attributes:
        stage_flops: of one sample's forward pass, by stage.
        ue_count: what the UE side costs.
        memory: what outlives the round.
        lockstep: where UEs wait for each other before a server takes a step; None: they do not.
        width_of: the width at which a UE's batch of so many samples is sent; None: the full one.
        book: what was done and held.
        eavesdropper: who listens to smashed data in this round; None: nobody.
        phase_s: time of all batches together in downlink, computing and uplink, waiting for each included.
    """

    federation: Federation
    split: SplitLearning
    network: SplitNetwork
    stage_flops: Sequence[float]
    clock: VirtualClock
    round_index: int
    ue_count: SideCount
    memory: SplitMemory
    book: Book
    lockstep: Lockstep | None = None
    eavesdropper: Eavesdropper | None = None
    width_of: WidthRule | None = None
    phase_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("downlink", "compute", "uplink"), 0.0))

    def run(self, turn: Turn, arrays: Arrays, servers: dict[Node, Party]) -> Process:
        """Get the UE side down, go through all batches and send what became of it up; a frozen side stays where it is.

        Args:
            turn: of the UE.
            arrays: of the UE side.
            servers: the servers' parties.
        """
        frozen = self.split.ue_side == "frozen"
        if not frozen:
            down = yield from self._send(Transfer(turn.ue, "downlink", encode(arrays), self.clock.now_s))
            if down.payload is None:
                self._gone(turn)
                return
        turn.received, turn.received_s = arrays, self.clock.now_s
        own = self.party("ue", arrays)
        if frozen:
            own.freeze(0)
        turn.parties = {**servers, "ue": own}
        yield from self._batches(turn)
        turn.done_s = self.clock.now_s
        if turn.alive and frozen:
            turn.result = own.read()
        elif turn.alive:
            payload = encode(difference(own.read(), arrays))
            up = yield from self._send(Transfer(turn.ue, "uplink", payload, self.clock.now_s))
            turn.alive, turn.result = up.payload is not None, own.read() if up.payload is not None else None

    def of(self, turn: Turn) -> SplitRound:
        """Return the round with the network as it is cut, and its tensors quantised, for one UE."""
        if turn.choice is None:
            return self
        cut = turn.choice.model
        return replace(self, network=cut.network, stage_flops=cut.stage_flops, ue_count=cut.counts["ue"])

    def party(self, node: Node, arrays: Arrays) -> Party:
        """Return a party with an optimiser of its own."""
        made = Party.of(self.network, node, arrays)
        made.optimizer = self.federation.algorithm.new_optimizer(list(made.leaves.values()))
        return made

    def _batches(self, turn: Turn) -> Process:
        """Go through the batches, of which ``ahead`` + 1 may be under way at a time."""
        under_way = list["simpy.Event"]()
        for number in range(len(turn.batches)):
            if not turn.alive:
                break
            under_way.append(self.clock.start(self._batch(turn, number)))
            if len(under_way) > self.split.ahead:
                yield under_way.pop(0)
        yield from under_way

    def _batch(self, turn: Turn, number: int) -> Process:
        """Take one batch through all stages and back, its micro-batches one behind the other."""
        whole = MicroBatches.of(
            self.federation.learner.batch_of(turn.ue, turn.batches[number]), self.split.micro_batches
        )
        place = turn.ue, turn.first + number
        self.book.begin(*place, whole.num_samples)
        try:
            if len(whole.parts) == 1:
                yield from self._micro_batch(turn, number, whole, 0)
            else:
                parts = range(len(whole.parts))
                yield from [self.clock.start(self._micro_batch(turn, number, whole, part)) for part in parts]
        finally:
            self.book.end(*place, whole.loss if whole.is_back else None)

    def _micro_batch(self, turn: Turn, number: int, whole: MicroBatches, part: int) -> Process:
        """Take one part of a batch through all stages and back; the last one's gradients bring the steps."""
        ue, batch, place = turn.ue, whole.parts[part], (turn.ue, turn.first + number)
        key: tuple[str | int, ...] = ("split", self.round_index, *place)
        key += (part,) if len(whole.parts) > 1 else ()
        features = self.memory.features_of(ue) if self.split.ue_side == "frozen" else None
        messages = exchange(
            self.network, turn.parties, batch, key=key, rng=stream(self.federation.seed, *key),
            errors=self.memory.errors_of(ue), draws=Draws(stream_key(self.federation.seed, "dropout", *key[1:])),
            features=features, heard=self.eavesdropper.hear if self.eavesdropper else None, share=whole.shares[part],
            width=self.width_of(turn, whole.num_samples) if self.width_of else 1.0,
            report_losses=self.split.filter is not None,
        )  # fmt: skip
        rows, path = batch.rows.tolist(), whole.paths[part]
        lacking = len(rows) if features is None else sum(row not in features.kept for row in rows)
        try:
            for work, stage in self._order(known=not lacking):
                node = self.network.stages[stage].node
                samples = lacking if stage == 0 else len(batch.rows)
                message, outcome = yield from self._compute(turn, place[1], work, stage, samples, messages)
                done = self.clock.log[-1]
                path.append(Leg(f"{work} {stage}", str(done.processor), done.end_s - done.start_s))
                party, ended = turn.parties[node], outcome is not None
                whole.gather(party)
                returns = ended or (message is not None and message.kind == "gradients")
                if node != "ue" and returns and whole.complete(party):
                    self.book.stepped(*place, node, party)
                    yield from self._server_step(turn, node, number, whole.num_samples)
                if outcome is not None:
                    self._ended(turn, number, whole, part, outcome)
                    return
                assert message is not None
                if not (yield from self._carry(turn, message, number, path)):
                    return
        finally:
            messages.close()

    def _ended(self, turn: Turn, number: int, whole: MicroBatches, part: int, outcome: Outcome) -> None:
        """Note that a micro-batch is through; with the last one, the UE takes its step."""
        own = turn.parties["ue"]
        whole.outcomes[part] = outcome
        if not whole.complete(own):
            return
        turn.losses.append((whole.loss, whole.num_samples))
        turn.paths.append(whole.paths)
        if self.split.filter:
            self.memory.note(turn, turn.batches[number], whole.losses, self.round_index)
        self.book.stepped(turn.ue, turn.first + number, "ue", own)
        own.step()
        if number == turn.vanishes_at:
            # It had nothing to send.
            self._gone(turn)

    def _order(self, *, known: bool) -> list[tuple[str, int]]:
        """Return which stage computes when: forward up to the last, which answers, and back."""
        last = len(self.network.stages) - 1
        forward = [("forward", stage) for stage in range(int(known), last)]
        return [*forward, ("answer", last), *[("backward", stage) for stage in reversed(range(last))]]

    def _compute(self, turn: Turn, number: int, work: str, stage: int, samples: int, messages: object) -> Process:
        """Wait for a node's processor, let it go on with the batch, and keep it busy for as long as that takes.

        Returns the message that it wants to send, or the outcome.
        """
        passes = {"forward": 1, "backward": 2, "answer": 3}[work]
        flops, node = passes * samples * self.stage_flops[stage], self.network.stages[stage].node
        device = self.federation.simulation.world.devices[turn.ue]
        if node == "ue":
            duration_s, processor = compute_time_s(device, flops), ("ue", turn.ue)
            turn.flops += flops
        else:
            server = self.split.gnb if node == "gnb" else self.split.cloud
            duration_s, processor = flops / server.flop_s, (node, 0)
        found: list[tuple[Message | None, Outcome | None]] = []
        since_s, begun_s = self.clock.now_s, list[float]()

        def go_on() -> float:
            begun_s.append(self.clock.now_s)
            self.book.ran(turn.ue, number, node, turn.parties[node])
            try:
                found.append((next(messages), None))  # type: ignore[call-overload]
            except StopIteration as end:
                found.append((None, end.value))
            if node == "ue":
                self.book.holds(turn.ue, number, turn.parties["ue"], self.ue_count)
            return duration_s

        yield from self.clock.compute(processor, go_on, f"{work} {turn.ue}")
        self.phase_s["compute"] += self.clock.now_s - since_s
        self.book.note(turn.ue, number, node, work, begun_s[0], self.clock.now_s)
        return found[0]

    def _server_step(self, turn: Turn, node: Node, number: int, samples: int) -> Process:
        if self.lockstep is None:
            turn.parties[node].step()
            return
        yield from self.lockstep.meet(turn, node, number, samples)

    def _carry(self, turn: Turn, message: Message, number: int, path: list[Leg]) -> Process:
        """Bring a message to its receiver; return whether that worked."""
        nodes, payload, since_s = {message.sender, message.receiver}, message.payload, self.clock.now_s
        step, place = f"{message.kind} {message.cut}", turn.first + number
        if "ue" not in nodes:
            link, way = self.split.backhaul, "backhaul_uplink" if message.sender == "gnb" else "backhaul_downlink"
            processor, duration_s = ("backhaul", message.sender), 8 * payload.size_bytes / link.rate_bit_s
            yield from self.clock.compute(processor, duration_s, "backhaul")
            yield self.clock.until(self.clock.now_s + link.latency_s)
            path += [Leg(step, str(processor), duration_s), Leg(f"{step} latency", "", link.latency_s)]
            self.book.note(
                turn.ue, place, way, message.kind, since_s, self.clock.now_s,
                payload_bytes=payload.size_bytes, value_bytes=payload.value_bytes,
            )  # fmt: skip
            return True
        up = message.sender == "ue"
        transfer = Transfer(turn.ue, "uplink" if up else "downlink", payload.content, since_s)
        delivery: Delivery = yield from self._send(transfer, place, message.kind, payload.value_bytes)
        # With its last message to the gNB, which in a U holds the batch's graph by then.
        goes = number == turn.vanishes_at and up and (message.kind == "gradients" or self.split.cut.shape != "u_shaped")
        if delivery.payload is None or not turn.alive or goes:
            self._gone(turn)
            return False
        link_name, spent_s = f"{transfer.direction} {turn.ue}", delivery.done_s - delivery.start_s
        path.append(Leg(step, link_name, spent_s, 8 * len(transfer.payload)))
        return True

    def _send(
        self, transfer: Transfer, number: int = UE_SIDE, content: str = "ue_side", value_bytes: int = 0
    ) -> Process:
        since_s = self.clock.now_s
        delivery: Delivery = yield self.clock.send(transfer)
        self.phase_s[transfer.direction] += self.clock.now_s - since_s
        came = delivery.payload is not None
        self.book.note(
            transfer.ue, number, transfer.direction, content, since_s, self.clock.now_s,
            payload_bytes=len(delivery.payload or b""), value_bytes=value_bytes if came else 0,
        )  # fmt: skip
        return delivery

    def _gone(self, turn: Turn) -> None:
        turn.alive = False
        if self.lockstep is not None:
            self.lockstep.check()

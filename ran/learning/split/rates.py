"""What the gNB expects of a UE's links, and the width of a bottleneck that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ran.learning.adaptation.menu import sample_bits
from ran.learning.split.cut_option import quantiser_of

if TYPE_CHECKING:
    from ran.learning.adaptation.menu import CutOption, Quantiser
    from ran.learning.federation import Federation, FederationState
    from ran.learning.split.bottleneck import Bottleneck
    from ran.learning.split.split_round import Turn
    from ran.network import Direction
    from ran.virtual_clock import VirtualClock

WidthRule = Callable[["Turn", int], float]
"""Which width a batch of so many samples is sent at."""

_LEAST_BIT_S = 1.0


def expected_rates(
    federation: Federation, state: FederationState, direction: Direction, now_s: float, sharers: Mapping[int, int]
) -> dict[int, float]:
    """Return the rate in bit/s that each UE of ``sharers`` may expect, given how many want its cell, itself included.

    The gNB goes by the UE's last channel report (``Simulation.expected_rate_bit_s``: as old and as coarse as
    ``mac.link_adaptation`` makes it, averaged over the duplex pattern) and divides it by those who share the cell. What
    it leaves out: transport blocks that fail, the wait for the first slot of the direction, other traffic, and that
    those who share the cell compute meanwhile. A link that carries nothing counts as 1 bit/s.
    """
    simulation = federation.simulation
    # Where other traffic goes on, only its own slots may move the network; their last report is the newest then.
    time_s = 0.0 if any(simulation.network.has_traffic.values()) else now_s
    alone = simulation.expected_rate_bit_s(state.network, direction, time_s)
    return {ue: max(float(alone[ue]) / count, _LEAST_BIT_S) for ue, count in sharers.items()}


def cell_mates(state: FederationState, ues: Sequence[int]) -> dict[int, int]:
    """Return how many of the UEs are in the cell of each of them."""
    cells = {ue: int(state.network.serving_cell[0][ue]) for ue in ues}
    return {ue: sum(cell == each for each in cells.values()) for ue, cell in cells.items()}


def width_rule(federation: Federation, state: FederationState, clock: VirtualClock, turns: Sequence[Turn]) -> WidthRule:
    """Return the rule of the round: the bottleneck's, batch by batch, or what was chosen for the UE's round, or 1."""
    model = federation.cut_model
    assert model is not None
    bottleneck = model.split.data.bottleneck
    if bottleneck is None or bottleneck.uplink_budget_s is None:
        return lambda turn, samples: turn.choice.width if turn.choice else 1.0  # noqa: ARG005

    in_turn = model.split.method == "sequential"

    def widest(turn: Turn, samples: int) -> float:
        # Those that are through with their batches do not send any more.
        at_work = [turn] if in_turn else [each for each in turns if each.alive and each.done_s != each.done_s]
        mates = cell_mates(state, [each.ue for each in at_work])
        rate = expected_rates(federation, state, "uplink", clock.now_s, {turn.ue: mates[turn.ue]})[turn.ue]
        model = turn.choice.model if turn.choice else federation.cut_model
        assert model is not None
        return widest_in_time(bottleneck, model.option, quantiser_of(model.network, model.network.data), samples, rate)

    return widest


def widest_in_time(
    bottleneck: Bottleneck, option: CutOption, quantiser: Quantiser, samples: int, rate_bit_s: float
) -> float:
    """Return the widest code of a batch that the uplink carries within the bottleneck's budget, or the narrowest."""
    budget_s = bottleneck.uplink_budget_s
    assert budget_s is not None
    within = [
        width
        for width in bottleneck.widths
        if samples * sample_bits(option, quantiser, width)[0] <= budget_s * rate_bit_s
    ]
    return within[-1] if within else bottleneck.widths[0]

"""A scenario's model, cut as it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channel.errors import UserError
from channel.seeding import stream
from ran.learning.split.counting import SideCount, count_sides, side_problem, stage_flops
from ran.learning.split.cut_option import cut_option
from ran.learning.split.party import Party
from ran.learning.split.split_network import SplitNetwork
from ran.learning.split.stages import tie_problem

if TYPE_CHECKING:
    from ran.learning.adaptation.menu import CutOption
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.learner import Learner
    from ran.learning.split.cut import Node
    from ran.learning.split.settings import SplitLearning
    from ran.nodes import DeviceProfile


@dataclass(frozen=True)
class CutModel:
    """The parts of the learner's network.

    Attributes:
        split: what the scenario says.
        network: the learner's, cut.
        stage_flops: of one sample's forward pass, by stage.
        counts: what each node holds and computes.
        option: what a UE would choose with the first cut, in numbers.
        options: the model at each cut that UEs choose from, this one first; empty where there is no choice.
    """

    split: SplitLearning
    network: SplitNetwork
    stage_flops: tuple[float, ...]
    counts: dict[Node, SideCount]
    option: CutOption
    options: tuple[CutModel, ...] = ()

    @staticmethod
    def of(split: SplitLearning, learner: Learner, seed: int, devices: Sequence[DeviceProfile]) -> CutModel:
        """Return the learner's network, cut.

        Raises UserError where it cannot be cut there, a tied array would be trained on two nodes, or a UE's device
        cannot hold its side.
        """
        sample = learner.sample()
        try:
            network = SplitNetwork.of(learner.network, split.cut, split.data, sample, stream(seed, "bottleneck"))
        except UserError as error:
            raise UserError(_placed(str(error))) from error
        if problem := tie_problem(network.stages):
            raise UserError(_placed(problem))
        nodes = list(dict.fromkeys(split.cut.nodes))
        parties = {node: Party.of(network, node, network.initial(node)) for node in nodes}
        if split.ue_side == "frozen":
            parties["ue"].freeze(0)
        counts = count_sides(network, parties, sample, state_floats=learner.state_floats)
        if problem := side_problem(devices, counts["ue"], learner.algorithm.batch_size * (1 + split.ahead)):
            raise UserError(_placed(problem))
        flops = tuple(float(each) for each in stage_flops(network, sample, 1.0))
        option = cut_option(network, counts, learner, split)
        return CutModel(split, network, flops, counts, option)

    @property
    def nodes(self) -> list[Node]:
        """Every node once, from the input on."""
        return list(dict.fromkeys(self.split.cut.nodes))

    @property
    def bottlenecks(self) -> Arrays:
        """First weights of the bottlenecks at all cuts."""
        return {name: each for model in self.options or (self,) for name, each in model.network.bottlenecks.items()}


def _placed(problem: str) -> str:
    """Return a problem at its place in the scenario."""
    field, colon, rest = problem.partition("`: ")
    if not colon or not field.startswith("`"):
        return f"learning.split.cut: {problem}"
    return f"learning.split.{'cut' if field == '`after' else 'data'}.{field[1:]}: {rest}"

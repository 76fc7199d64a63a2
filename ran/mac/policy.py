"""A trained policy as a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from channel.errors import UserError
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler
from ran.policy_file import described, load_actor, policy_problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.observed import SlotLayout

ENVIRONMENT = "slot_scheduling"


@SCHEDULERS.register("policy")
class Policy(Scheduler):
    """Do what a policy trained in `airtune/SlotScheduling-v0` would: its likeliest choice for every part of the band.

    The file of ``airtune train-agent slot_scheduling`` sees here exactly what it saw there. It fits networks of as
    many UEs, cells and resource block groups as it was trained for. Slices that name no scheduler of their own are one
    to it, as in the environment. Evaluated by NumPy: h = tanh(W x + b), layer by layer; nothing in the file is run.
    """

    across_slices: ClassVar[bool] = True

    path: str = Field(min_length=1, description="policy.safetensors of `airtune train-agent slot_scheduling`")

    def problems(self) -> list[str]:
        """Return why the file is no policy."""
        problem = policy_problem(Path(self.path).expanduser(), ENVIRONMENT)
        return [f"`path`: {problem}"] if problem else []

    def network_problem(self, ues: int, cells: int, groups: int) -> str:
        """Return why the policy does not fit a network of so many UEs, cells and groups, or an empty string."""
        said = described(Path(self.path).expanduser(), ENVIRONMENT)
        if _layout(said["inputs"], said["outputs"], ues, cells, groups) is not None:
            return ""
        return (
            f"{self.path!r} was trained for another network than this of {ues} UEs, {cells} cells and {groups} "
            "resource block groups; train one with `airtune train-agent slot_scheduling` on this scenario"
        )

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the averages before the first slot, bits per slot, [batch, num_ues]: 0 stands for none yet."""
        import numpy as np

        return np.zeros((batch, num_ues))

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and the averages.

        Raises UserError where the network has other UEs, cells or groups than the policy was trained for.
        """
        import numpy as np

        from ran.mac.observed import averages

        actor = load_actor(Path(self.path).expanduser())
        batch, cells, groups = observation.reserved.shape
        ues = observation.backlog_bytes.shape[1]
        layout = _layout(actor.inputs, actor.outputs, ues, cells, groups)
        if layout is None:
            raise UserError(self.network_problem(ues, cells, groups))
        state = averages(observation, state)
        logits = actor(layout.pack(layout.values(observation, state)))
        allowed = layout.allowed(observation)
        best = np.where(allowed, logits, -np.inf).reshape(batch, cells * layout.parts, ues + 1).argmax(axis=2)
        grant = layout.grant(best)
        return np.where(observation.reserved == -1, grant, observation.reserved).astype(np.int32), state


def _layout(inputs: int, outputs: int, ues: int, cells: int, groups: int) -> SlotLayout | None:
    """Return the layout of a policy with so many inputs and outputs in such a network, or None: it is of another."""
    from ran.mac.observed import SlotLayout

    parts, odd = divmod(outputs, cells * (ues + 1))
    layout = SlotLayout(ues, cells, groups, parts)
    fits = not odd and 1 <= parts <= groups and inputs == sum(block.count for block in layout.blocks())
    return layout if fits else None

"""A trained policy that moves the slices' shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from channel.errors import UserError
from ran.mac.sharing.sharing import SHARINGS, Sharing
from ran.policy_file import described, likeliest, load_actor, policy_problem, trained_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.shares_seen import Queues

ENVIRONMENT = "slicing"


@SHARINGS.register("policy")
class Policy(Sharing):
    """Set the shares that a policy trained in `airtune/Slicing-v0` would, in windows of as many slots as there.

    It sees learning's updates and other traffic as there. A round is over at learning.round_deadline_s. What is late
    stays in the queue and counts as well, unless learning.schedule is deadline. Shares of the direction that it was
    not trained in stand still.
    """

    path: str = Field(min_length=1, description="policy.safetensors of `airtune train-agent slicing`")

    def problems(self) -> list[str]:
        """Return why the file is no policy for this."""
        problem = policy_problem(Path(self.path).expanduser(), ENVIRONMENT)
        return [f"`path`: {problem}"] if problem else []

    @property
    def _own(self) -> dict[str, Any]:
        return trained_in(Path(self.path).expanduser())

    @property
    def window(self) -> int:
        """Slots between two decisions, as in training."""
        return int(self._own["window_slots"])

    @property
    def directions(self) -> tuple[Literal["downlink", "uplink"], ...]:
        """The direction of its training."""
        return (self._own["direction"],)

    def quorum(self, ues: int) -> int:
        """Return the quorum of its training."""
        from ran.mac.shares_seen import quorum_of

        return quorum_of(float(self._own["quorum"]), ues)

    def network_problem(self, ues: int, users: int, cells: int) -> str:
        """Return why it does not fit so many UEs, of which some have traffic, and cells, or an empty string."""
        from ran.mac.shares_seen import blocks

        said, levels = described(Path(self.path).expanduser(), ENVIRONMENT), int(self._own["levels"])
        inputs = sum(block.count for block in blocks(ues, users, cells))
        if (said["inputs"], said["outputs"]) == (inputs, levels * cells):
            return ""
        return (
            f"{self.path!r} was trained for another network than this of {ues} UEs, {users} of them with "
            f"{self.directions[0]} traffic, and {cells} cells; train one with `airtune train-agent slicing` on this "
            "scenario"
        )

    def share(self, queues: Queues) -> NDArray[np.float64]:
        """Return the likeliest shares.

        Raises UserError where the network has other UEs or cells than that of the training.
        """
        from ran.mac.shares_seen import blocks, values
        from ran.observed import pack

        actor, own = load_actor(Path(self.path).expanduser()), self._own
        (_, ues), cells = queues.left.shape, queues.share.shape[1]
        layout, levels = blocks(ues, len(queues.users), cells), int(own["levels"])
        if problem := self.network_problem(ues, len(queues.users), cells):
            raise UserError(problem)
        seen = pack(layout, values(queues))
        return likeliest(actor(seen), [levels] * cells) / (levels - 1)

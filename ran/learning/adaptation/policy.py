"""A trained policy that chooses for all UEs of a round together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from channel.errors import UserError
from ran.learning.adaptation.adaptation import ADAPTATIONS, Adaptation, refuse_too_large
from ran.policy_file import likeliest, load_actor, policy_problem, trained_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.adaptation.menu import Menu, Place, Situation
    from ran.learning.adaptation.observed import SplitSeen

ENVIRONMENT = "split_point"


@ADAPTATIONS.register("policy")
class Policy(Adaptation):
    """Choose what a policy trained in `airtune/SplitPoint-v0` would, for all participants of a round at once.

    It sees the rates that the gNB expects of each UE alone, their devices, and the server's speed over that in
    training. Deadlines, qualities and amounts of data it does not see: it has learnt those of its training. It fits
    lists as in `airtune run shared_split`, and as many participants, or fewer, as it was trained for.
    """

    path: str = Field(min_length=1, description="policy.safetensors of `airtune train-agent split_point`")

    def problems(self) -> list[str]:
        """Return why the file is no policy for this."""
        problem = policy_problem(Path(self.path).expanduser(), ENVIRONMENT)
        return [f"`path`: {problem}"] if problem else []

    def trained_in(self) -> dict[str, Any]:
        """Return the parameters of its environment."""
        return trained_in(Path(self.path).expanduser())

    def choose(self, menu: Menu, situation: Situation, action: Sequence[int] | None = None) -> Place:  # noqa: ARG002
        """Return the choice for a UE that is alone."""
        return self.choose_all([(menu, situation)])[0]

    def choose_all(self, offered: Sequence[tuple[Menu, Situation]]) -> list[Place]:
        """Return the choices for all UEs of a round.

        Raises UserError where they are more than in training, or no cut fits a UE.
        """
        import numpy as np

        from ran.learning.adaptation.observed import SplitLayout

        if not offered:
            return []
        actor, own = load_actor(Path(self.path).expanduser()), self.trained_in()
        layout, count = SplitLayout(int(own["ues"])), len(offered)
        if count > layout.ues:
            raise UserError(
                f"{self.path!r} was trained for {layout.ues} UEs at most, and {count} take part; lower "
                f"learning.participation, or train with `--set ues={count}`"
            )
        speed = np.array([each.device.flops_per_cycle * each.device.clock_hz for _, each in offered])
        order = np.argsort(-speed, kind="stable")
        cuts = np.zeros((1, layout.ues, len(offered[0][0].cuts)), bool)
        for place, ue in enumerate(order):
            menu, situation = offered[ue]
            cuts[0, place] = menu.fits(situation)[:, 0, 0]
            if not cuts[0, place].any():
                smallest = min(range(len(menu.cuts)), key=lambda index: menu.cuts[index].memory_bytes)
                refuse_too_large(menu, situation, (smallest, 0, 0))
        seen = _seen([offered[ue] for ue in order], layout.ues, float(own["server_flops_per_s"]))
        mask = layout.mask(seen.there, cuts)
        chosen = layout.places(likeliest(actor(layout.pack(seen)), layout.options(), mask))[0]
        found: list[Place] = [(0, 0, 0)] * count
        for place, ue in enumerate(order):
            cut, width, quantiser = chosen[place].tolist()
            found[ue] = (cut, width, quantiser)
        return found


def _seen(offered: Sequence[tuple[Menu, Situation]], ues: int, server_flops_per_s: float) -> SplitSeen:
    """Return what is known of UEs, the fastest first."""
    import numpy as np

    from ran.learning.adaptation.observed import SplitSeen

    count = len(offered)

    def of_each(numbers: list[float]) -> NDArray[np.float64]:
        return np.array([[*numbers, *[1.0] * (ues - count)]])

    devices, situations = [each.device for _, each in offered], [each for _, each in offered]
    work = offered[0][0].work
    return SplitSeen(
        there=np.arange(ues)[None] < count,
        uplink=of_each([each.uplink_bit_s * each.sharers for each in situations]),
        downlink=of_each([each.downlink_bit_s * each.sharers for each in situations]),
        speed=of_each([each.flops_per_cycle * each.clock_hz for each in devices]),
        frugality=of_each([each.flops_per_cycle / (each.kappa * each.clock_hz**2) for each in devices]),
        memory=of_each([each.memory_bytes for each in devices]),
        server=np.array([work.server_flops_per_s * count / server_flops_per_s]),
    )

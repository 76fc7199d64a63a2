"""A trained policy that says who takes part in a round, and with what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.participation.allotment import Allotment
from ran.learning.participation.participation import PARTICIPATIONS, Candidates, Participation
from ran.policy_file import load_actor, policy_problem, trained_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.participation.observed import RoundDecision
    from ran.learning.participation.sight import Sight

ENVIRONMENT = "round_allocation"


@PARTICIPATIONS.register("policy")
class Policy(Participation):
    """Do what a policy trained in `airtune/RoundAllocation-v0` would.

    Participants, clocks and compressor are the policy's; its powers are back-offs from a UE's most, of which open-loop
    power control may leave less; bandwidths reach the scheduler `shares` as shares of the uplink: those with which all
    finish together at what each UE's SNR carries (Shi et al., arXiv 2007.07174), times what the policy adds.

    What it sees: SNRs as the gNB last measured them, with the antennas' gain (usual ones filtered by layer 3); times
    and energies of training by the UEs' devices; the model's test accuracy; the share of learning.rounds that is left.
    UEs may be fewer than in training. Interference, other traffic and the broadcast are not in what it knows.
    """

    path: str = Field(min_length=1, description="policy.safetensors of `airtune train-agent round_allocation`")

    def problems(self) -> list[str]:
        """Return why the file is no policy for this."""
        problem = policy_problem(Path(self.path).expanduser(), ENVIRONMENT)
        return [f"`path`: {problem}"] if problem else []

    def num_ues_problems(self, num_ues: int) -> list[str]:
        """Return that the policy was trained for fewer UEs."""
        found = super().num_ues_problems(num_ues)
        if not self.problems() and num_ues > self.places:
            found.append(
                f"`path`: the policy was trained for {self.places} UEs at most, but ues.count is {num_ues}; lower it, "
                f"or train with `--set ues={num_ues}`"
            )
        return found

    @property
    def places(self) -> int:
        """Most UEs that it was trained for."""
        return int(trained_in(Path(self.path).expanduser())["ues"])

    def cohort(self, num_ues: int) -> int:  # noqa: ARG002
        """Return the fewest that it may choose: one."""
        return 1

    def choose(self, candidates: Candidates, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whom the policy chooses."""
        assert candidates.sight is not None
        decision, order = self._decide(candidates.sight(), present)
        return order[decision.chosen[0, : len(order)]]

    def allot(self, candidates: Candidates) -> Allotment:
        """Return who takes part, and with what."""
        from ran.learning.participation.levels import LEVELS

        present = self.present(candidates)
        if not len(present):
            return Allotment([])
        assert candidates.sight is not None
        sight = candidates.sight()
        decision, order = self._decide(sight, present)
        places = {int(ue): place for place, ue in enumerate(order) if decision.chosen[0, place]}
        shares = band_shares(sight, decision, order)
        return Allotment(
            ues=sorted(places),
            clock={ue: float(decision.clock[0, place]) for ue, place in places.items()},
            backoff_db={ue: float(-decision.power_db[0, place]) for ue, place in places.items()},
            share={ue: float(shares[place]) for ue, place in places.items()},
            compressor=LEVELS[int(decision.level[0])].compressor,
        )

    def _decide(self, sight: Sight, present: NDArray[np.int64]) -> tuple[RoundDecision, NDArray[np.int64]]:
        """Return the decision, and which UE is at each of its places."""
        from dataclasses import replace

        import numpy as np

        from ran.learning.participation.observed import RoundLayout

        actor = load_actor(Path(self.path).expanduser())
        layout = RoundLayout(self.places)
        there = np.zeros_like(sight.seen.there)
        there[0, present] = True
        seen, order = layout.ranked(replace(sight.seen, there=there))
        return layout.decision(actor.steered(layout.pack(seen)), seen.there), order


def band_shares(sight: Sight, decision: RoundDecision, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the shares of the uplink that the participants get, [num_places], 0 of the others; they add up to 1.

    Those with which all finish together, by what a hertz carries (``Shannon``), times what the policy adds. An SNR of
    x / b in b hertz of an uplink that is there for a part of the time only: both count by that part.
    """
    import numpy as np

    from ran.learning.participation.levels import LEVELS
    from ran.learning.participation.round_kernels import carry_out

    places, mine = decision.chosen.shape[1], slice(0, len(order))
    compute_s, bits, reach = np.zeros((1, places)), np.zeros((1, places)), np.ones((1, places))
    chosen = decision.chosen[0, mine]
    compute_s[0, mine] = np.where(chosen, sight.seen.compute_s[0, order] / decision.clock[0, mine], 0.0)
    bits[0, mine] = chosen * LEVELS[int(decision.level[0])].bits * sight.num_values / sight.carries.share
    reach[0, mine] = sight.seen.snr[0, order] * sight.uplink_hz * 10 ** (decision.power_db[0, mine] / 10)
    band, sending = np.zeros((1, places)), np.zeros((1, places))
    carry_out(
        compute_s,
        bits,
        reach,
        sight.carries.cap / sight.carries.share,
        sight.uplink_hz,
        decision.lean_db,
        band,
        sending,
    )
    return np.asarray(band[0] / sight.uplink_hz)

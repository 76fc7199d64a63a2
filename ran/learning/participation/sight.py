"""What a policy of participation is shown when a round starts, and what it has to know to act on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ran.energy import compute_energy_j, compute_time_s
from ran.learning.participation.observed import FADE, RoundSeen
from ran.phy.rate_curve import RateCurve, Shannon

if TYPE_CHECKING:
    from ran.learning.federation import Federation, FederationState


@dataclass(frozen=True)
class Sight:
    """All UEs as they are, present or not.

    Attributes:
        seen: of one replica, ``there`` all true.
        uplink_hz: band of the uplink times the part of the time that it is there.
        num_values: numbers in an update.
        carries: what a hertz of it carries.
    """

    seen: RoundSeen
    uplink_hz: float
    num_values: int
    carries: Shannon


def sight_of(federation: Federation, state: FederationState) -> Sight:
    """Return what the gNB knows when a round starts: reports, measurements, and what earlier rounds showed."""
    learner, simulation, history = federation.learner, federation.simulation, state.history
    world, samples = simulation.world, learner.num_samples
    flops = [learner.flops_per_sample * federation.algorithm.passes(number) for number in samples]
    # Where other traffic goes on, only its own slots may move the network; their last report is the newest then.
    time_s = 0.0 if any(simulation.network.has_traffic.values()) else state.clock_s
    snr, usual_snr = simulation.uplink_snr(state.network, time_s)
    known = np.where(history["rounds"] > 0, FADE ** history["missed"].astype(np.float64), 0.0)
    seen = RoundSeen(
        there=np.ones((1, len(samples)), bool),
        snr=snr[None],
        usual_snr=usual_snr[None],
        compute_s=np.array([[compute_time_s(*each) for each in zip(world.devices, flops, strict=True)]]),
        compute_j=np.array([[compute_energy_j(*each) for each in zip(world.devices, flops, strict=True)]]),
        samples=np.array([samples], np.float64),
        known=known[None],
        accuracy=np.array([learner.evaluate(state.server.model).accuracy]),
        left=np.array([max(0.0, 1 - state.round / federation.rounds)]),
    )
    grid, kinds = world.numerology, world.numerology.kinds()
    uplink_hz = grid.num_prbs * grid.prb_hz * sum(kind.uplink_re > 0 for kind in kinds) / len(kinds)
    curve = RateCurve.of(world.tables(), world.radio.link_adaptation.bler_target)
    return Sight(seen, uplink_hz, learner.num_trainable, Shannon.of(curve, grid))

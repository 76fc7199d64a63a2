"""Slots and events until every payload has arrived: virtual time advances by slots, idle air is skipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ran.network import Direction, Network, NetworkState, StepReport
from ran.session import Session, SlotSession, carry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.plan import SlotPlan
    from ran.transfer import Exchange, Transfer
    from ran.world import World


_LEAST_SNR = 1e-12


class Simulation:
    """Carries payloads over one world (one replica); all that changes lives in the NetworkState passed in.

    ``watch`` is called with the state and the report of every slot that runs, for traces.
    """

    def __init__(self, world: World, watch: Callable[[NetworkState, StepReport], None] | None = None) -> None:
        assert world.batch == 1, "payloads travel in one replica; batched worlds drive Network themselves"
        self.world = world
        self.network = Network(world)
        self.watch = watch

    @property
    def plan(self) -> SlotPlan:
        """The world unfolded for the slot loop."""
        return self.network.plan

    def start(self) -> NetworkState:
        """Return the state at time 0: every UE served by its strongest cell, nothing queued but full buffers."""
        return self.network.start()

    def run_until(self, state: NetworkState, time_s: float) -> None:
        """Run the background traffic until ``time_s``."""
        end_slot = math.ceil(time_s / self.plan.slot_s - 1e-9)
        while state.slot < end_slot:
            self.step(state, ())

    def expected_rate_bit_s(self, state: NetworkState, direction: Direction, time_s: float) -> NDArray[np.float64]:
        """Return the rate of every UE by its report at ``time_s`` if its cell served nobody else, [num_ues].

        Mean over the duplex period of what the link carries at Shannon's rate, capped at the highest MCS; no losses.
        """
        state.slot = max(state.slot, math.ceil(time_s / self.plan.slot_s - 1e-9))
        air, _ = self.network.air_at(state)
        link = air.downlink if direction == "downlink" else air.uplink
        kinds = [kind.downlink if direction == "downlink" else kind.uplink for kind in self.plan.kinds]
        bits = sum(link.rate_bits[kind][0].sum(axis=1, dtype=np.float64) for kind in kinds if kind >= 0)
        return np.asarray(bits / (len(kinds) * self.plan.slot_s), np.float64)

    def uplink_snr(self, state: NetworkState, time_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return every UE's uplink SNR at full power over the whole band, as last measured and usually, [num_ues] each.

        The antennas' gain counts, interference does not. Usual is what layer 3 has filtered of the serving cell's
        reference signals (``ran.handover_kernels.measure``); where mobility management is off, the path's gain now,
        mean over antennas and band.
        """
        state.slot = max(state.slot, math.ceil(time_s / self.plan.slot_s - 1e-9))
        air, _ = self.network.air_at(state)
        plan, near, ues = self.plan.uplink, air.uplink.known.neighbours, np.arange(self.world.num_ues)
        cell = state.serving_cell[0]
        gain = air.uplink.reported_gain[0].mean(axis=1, dtype=np.float64)
        usual = near.path_gain[0, ues, cell] * self.world.geometry.cell_array.num_antennas
        if self.world.handover.mode != "off":
            filtered = 10 ** (state.mobility.rsrp_db[0, ues, cell] / 10) / self.plan.downlink.params["prb_power_w"][0]
            usual = np.where(filtered > 0, filtered * self.world.geometry.cell_array.num_antennas, usual)
        per_gain = plan.params["max_power_w"][0] / (plan.num_prbs * plan.noise_w)
        return np.maximum(gain * per_gain, _LEAST_SNR), np.maximum(usual * per_gain, _LEAST_SNR)

    def step(self, state: NetworkState, directions: tuple[Direction, ...]) -> StepReport:
        """Run one slot with these directions on the air; background traffic goes on in any case."""
        report = self.network.step(state, directions=directions)
        if self.watch is not None:
            self.watch(state, report)
        return report

    def open(self, state: NetworkState) -> Session:
        """Return a session on ``state``: transfers may begin at any moment and share the air."""
        return SlotSession(self, state)

    def deliver(self, state: NetworkState, transfers: Sequence[Transfer]) -> Exchange:
        """Carry every transfer to its end; ``state`` advances to the slot after the last.

        At most one transfer per UE and direction. See ``SlotSession``.
        """
        return carry(self.open(state), transfers)

"""Sums computed by the air: all UEs of a cell send at once, slot by slot, and every gNB hears one sum.

Nothing of this is added noise: UEs' symbols go through the channel snapshots of the very slots that they are sent in,
precoded by what was sounded before, and the receiver's thermal noise is k T F times the band. UEs of other cells
interfere with the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from channel.impairments import UeErrors
from channel.ofdm import OfdmGrid
from channel.seeding import Key
from channel.snapshot import PathSet
from channel.units import dbm_to_watt
from channel.uplink import UplinkPaths
from channel.waveform import Air
from ran.air_checks import CHECK_SYMBOLS, Faults, checked_gains, suspects
from ran.air_exchange import AirExchange, AirSettings, CellSum, Contribution
from ran.phy.aircomp import Superposition, Uplink
from ran.phy.aircomp.packing import Statistics, deinterleave, interleave, own_moments, scrambling, statistics_bits
from ran.phy.aircomp.transmission import by_symbol, by_waveform
from ran.simulation import Delivery, Exchange, empty_tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot
    from ran.network import NetworkState
    from ran.simulation import Simulation

_FILTER_LEAD = 16
"""Samples that filters begin early at least: the same in all coherence intervals."""


class AirSum:
    """One exchange over the air: all cells at once, on the uplink symbols of the slots from the last UE's release on.

    Each gNB first learns the moments of its UEs' values on a control channel (one bit a resource element), sounds all
    UEs' channels, and again in every coherence interval or ``sounding_period_s``; the payload fills the symbols that
    are left, and check pilots end it.
    """

    def __init__(
        self,
        simulation: Simulation,
        state: NetworkState,
        settings: AirSettings,
        contributions: Sequence[Contribution],
        key: tuple[Key, ...],
        faults: Faults,
    ) -> None:
        self.simulation, self.state, self.settings, self.key, self.faults = simulation, state, settings, key, faults
        world = simulation.world
        self.seed = world.seeds[0]
        self.parts = sorted(contributions, key=lambda each: each.ue)
        self.ues = np.array([each.ue for each in self.parts])
        self.home = state.serving_cell[0][self.ues].copy()
        numerology = world.numerology
        self.grid = OfdmGrid.of(12 * numerology.num_prbs, numerology.subcarrier_spacing_hz)
        self.class_w = np.full(len(self.parts), dbm_to_watt(world.radio.ue_tx_power_dbm))
        self.noise_psd_w_hz = world.geometry.gnb_noise_psd_w_hz
        self.num_values = len(self.parts[0].values)
        self.per_symbol = int(self.settings.scheme.values_per_re * self.grid.num_subcarriers)
        self.payload_symbols = -(-self.num_values // self.per_symbol)
        self.moments = [own_moments(each.values) for each in self.parts]
        self.cells = sorted(set(self.home.tolist()))
        self.sums = {cell: self._nothing(cell) for cell in self.cells}
        self.statistics = {cell: self._statistics(cell) for cell in self.cells}
        self.energy_j, self.peak_w = np.zeros(len(self.parts)), np.full(len(self.parts), np.nan)
        self.done = 0
        self._known: dict[tuple[int, int, bool], NDArray[np.complex64]] = {}

    def run(self, *, keep_unsent: bool) -> AirExchange:
        """Send everything and return what the gNBs make of it."""
        if keep_unsent:
            for own in self.sums.values():
                own.unsent = [np.zeros(self.num_values, np.float32) for _ in own.ues]
        start_s = max(each.release_s for each in self.parts)
        plan = self.simulation.plan
        control = -(-statistics_bits(len(self.parts)) // self.grid.num_subcarriers)
        control_left, pilots_left, pilots, sounded, needed = control, 0, 0, -math.inf, 0
        first_slot = self._wait(start_s)
        plans: dict[int, Superposition] = {}
        errors = UeErrors.none(len(self.parts))
        checks_left = CHECK_SYMBOLS
        while self.done < self.payload_symbols or checks_left:
            slot = self.state.slot
            symbols = plan.kinds[slot % len(plan.kinds)].uplink_symbols
            now_s = slot * plan.slot_s
            if symbols:
                index, since_s, _ = self.simulation.world.channel.interval(now_s)
                period_s = self.settings.sounding_period_s
                stale = since_s > sounded if period_s is None else now_s - sounded >= period_s - 1e-9
                # Pilots of many UEs may take longer than they stay true: send something before the next ones.
                stale = stale and self.done >= needed
                if control_left:
                    used = min(control_left, symbols)
                    control_left, symbols = control_left - used, symbols - used
                if symbols and stale and not pilots_left:
                    pilots_left = self.settings.sounding.cost(self.grid, self._power_w()).symbols
                    pilots, needed = pilots + pilots_left, self.done + 1
                    plans, errors, sounded = self._sound(index, since_s), self._errors(since_s), now_s
                used = min(pilots_left, symbols)
                pilots_left, symbols = pilots_left - used, symbols - used
                if symbols and plans and not pilots_left:
                    sent = min(symbols, self.payload_symbols - self.done)
                    if sent:
                        self._send(plans, errors, index, sent)
                        symbols -= sent
                    if self.done == self.payload_symbols and symbols >= checks_left:
                        self._check(plans, errors, index)
                        checks_left = 0
            self._pass_slot()
        self._finish()
        return self._account(start_s, first_slot, pilots, control)

    def _wait(self, start_s: float) -> int:
        plan, state = self.simulation.plan, self.state
        first = max(state.slot, math.ceil(start_s / plan.slot_s - 1e-9))
        if any(self.simulation.network.has_traffic.values()):
            self.simulation.run_until(state, first * plan.slot_s)
        state.slot = first
        return first

    def _pass_slot(self) -> None:
        if any(self.simulation.network.has_traffic.values()):
            self.simulation.run_until(self.state, (self.state.slot + 1) * self.simulation.plan.slot_s)
        else:
            self.state.slot += 1

    def _power_w(self) -> NDArray[np.float64]:
        return self.class_w / self.grid.num_subcarriers

    def _mine(self, cell: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.home == cell)

    def _nothing(self, cell: int) -> CellSum:
        mine = self._mine(cell)
        weights = np.array([self.parts[index].weight for index in mine])
        mean = np.zeros(self.num_values, np.float32)
        return CellSum(cell, self.ues[mine].tolist(), weights / weights.sum(), mean, np.zeros(len(mine)))

    def _statistics(self, cell: int) -> Statistics:
        moments = [self.moments[index] for index in self._mine(cell)]
        return Statistics.of(moments, self.sums[cell].weights, scale=self.settings.statistics)

    def _channel(self, index: int, cell: int, ports: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Return the amplitudes of a coherence interval from UEs ``ports`` to a cell, [num_ports, num_ant, num_sc]."""
        key = index, cell, len(ports) == len(self.parts)
        if key not in self._known:
            self._known = {known: each for known, each in self._known.items() if known[0] == index}
            snapshot = self.simulation.network.snapshot(self.state, index)
            self._known[key] = self._response(snapshot, cell, ports)
        return self._known[key]

    def _response(self, snapshot: ChannelSnapshot, cell: int, ports: NDArray[np.int64]) -> NDArray[np.complex64]:
        if snapshot.paths is not None:
            return self._paths(snapshot, cell, ports).response(self.grid)
        gain = snapshot.gain[0, self.ues[ports], 0, cell]  # [num_ports, num_ant, num_subbands]
        hz = self.grid.frequency_hz()
        nearest = np.abs(hz[:, None] - snapshot.subband_frequency_hz).argmin(axis=1)
        return np.ascontiguousarray(gain[..., nearest])

    def _paths(self, snapshot: ChannelSnapshot, cell: int, ports: NDArray[np.int64]) -> UplinkPaths:
        assert snapshot.paths is not None
        ues = self.ues[ports]
        paths = snapshot.paths
        # UEs send from their first antenna.
        chosen = PathSet(paths.gain[:1, ues, :1], paths.delay_s[:1, ues])
        return UplinkPaths.of(chosen, cell, serving_cell=self.home[ports])

    def _errors(self, since_s: float) -> UeErrors:
        """Return what went wrong in the transmitters since they were sounded, by the stream of that time."""
        errors = self.settings.impairments.draw(len(self.parts), self.seed, *self.key, f"{since_s:.9f}")
        return replace(errors, phase_rad=errors.phase_rad + self.faults.phase_rad(self.ues))

    def _sound(self, index: int, since_s: float) -> dict[int, Superposition]:
        """Return what every cell's UEs send from now on, by what their pilots show."""
        noise_w, plans = self.grid.noise_w(self.noise_psd_w_hz), dict[int, Superposition]()
        cost = self.settings.sounding.cost(self.grid, self._power_w())
        self.energy_j += cost.energy_j
        for cell in self.cells:
            mine = self._mine(cell)
            power_w = self._power_w()[mine]
            known = self.settings.sounding.estimate(
                self._channel(index, cell, mine), noise_w, power_w, self.seed, *self.key, cell, f"{since_s:.9f}"
            )
            plan = self.settings.scheme.plan(Uplink(known, noise_w, power_w, self.sums[cell].weights))
            loud = np.array([self.statistics[cell].symbol_power(self.moments[at]) for at in mine])
            plan = plan if self.settings.scheme.one_bit else plan.limited(power_w, loud)
            plans[cell] = plan
        return plans

    def _send(self, plans: dict[int, Superposition], errors: UeErrors, index: int, count: int) -> None:
        """Send the next ``count`` symbols of the payload in one slot."""
        values = slice(self.done * self.per_symbol, min((self.done + count) * self.per_symbol, self.num_values))
        block = [self._symbols(at, values, count) for at in range(len(self.parts))]
        scramble = self._scrambling(count)
        outputs = self._through(plans, errors, index, [each * scramble for each in block], self.done)
        late = self.done + count > self.payload_symbols / 2
        for cell in self.cells:
            mine, own = self._mine(cell), self.sums[cell]
            heard = outputs[cell] * scramble.conj()
            if self.settings.interleaving == "common":
                heard = np.stack([deinterleave(each, self.seed, *self.key, self.done) for each in heard])
            self._decode(own, heard, values)
            active = plans[cell].active.mean(axis=1) * (1.0 - late * self.faults.silent(self.ues[mine]))
            own.kept += active * count / self.payload_symbols
            self._keep_unsent(own, plans[cell], block, values, mine)
        self.done += count

    def _symbols(self, at: int, values: slice, count: int) -> NDArray[np.complex64]:
        """Return one UE's symbols [count, num_sc] for a part of its values."""
        settings, own = self.settings, self.parts[at].values[values]
        if not settings.scheme.one_bit:
            own = self.statistics[int(self.home[at])].normalised(own)
        encoded = settings.scheme.encode(
            own, self.grid.num_subcarriers, self.seed + 7919 * int(self.ues[at]) + self.done
        )
        symbols = np.zeros((count, self.grid.num_subcarriers), np.complex64)
        symbols[: len(encoded)] = encoded
        return interleave(symbols, self.seed, *self.key, self.done) if settings.interleaving == "common" else symbols

    def _scrambling(self, count: int) -> NDArray[np.complex64]:
        if self.settings.scrambling == "none" or not self.settings.scheme.needs_csi:
            return np.ones((count, self.grid.num_subcarriers), np.complex64)
        return scrambling(count, self.grid.num_subcarriers, self.seed, *self.key, self.done)

    def _decode(self, own: CellSum, heard: NDArray[np.complex64], values: slice) -> None:
        count = values.stop - values.start
        decoded = self.settings.scheme.decode(heard, count)
        one_bit = self.settings.scheme.one_bit
        own.mean[values] = decoded if one_bit else self.statistics[own.cell].restored(decoded)

    def _keep_unsent(
        self, own: CellSum, plan: Superposition, block: list[NDArray[np.complex64]], values: slice,
        mine: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Note the values that lay on subcarriers where their UE was truncated."""
        if not own.unsent or self.settings.scheme.one_bit:
            return
        count = values.stop - values.start
        for place, at in enumerate(mine):
            silent = np.broadcast_to(~plan.active[place], block[at].shape)
            if not silent.any():
                continue
            if self.settings.interleaving == "common":
                silent = deinterleave(silent.astype(np.complex64), self.seed, *self.key, self.done).real > 0.5
            lost = np.repeat(silent.reshape(-1), 2)[:count]
            own.unsent[place][values] = np.where(lost, self.parts[at].values[values], np.float32(0))

    def _through(
        self, plans: dict[int, Superposition], errors: UeErrors, index: int, block: list[NDArray[np.complex64]],
        number: int,
    ) -> dict[int, NDArray[np.complex64]]:  # fmt: skip
        """Return every cell's outputs [num_out, num_sym, num_sc] of what all UEs send at once."""
        transmit = np.zeros((len(self.parts), self.grid.num_subcarriers), np.complex64)
        for cell, plan in plans.items():
            transmit[self._mine(cell)] = plan.transmit
        late = number + len(block[0]) > self.payload_symbols / 2
        transmit *= self.faults.amplitude(self.ues, late=late)[:, None].astype(np.float32)
        outputs, shares = dict[int, "NDArray[np.complex64]"](), []
        for cell, plan in plans.items():
            order = np.concatenate([self._mine(cell), np.flatnonzero(self.home != cell)])
            mine = len(self._mine(cell))
            everyone = replace(plan, transmit=transmit[order[:mine]]).joined_by(transmit[order[mine:]])
            symbols = [block[at] for at in order]
            if self.settings.fidelity == "symbol":
                channel = self._channel(index, cell, order) * errors.response(self.grid)[order][:, None]
                noise_w = self.grid.noise_w(self.noise_psd_w_hz)
                outputs[cell] = by_symbol(everyone, channel, symbols, noise_w, self.seed, *self.key, cell, number)
            else:
                outputs[cell], energy_j = self._by_waveform(everyone, errors, index, order, symbols, (cell, number))
                shares.append((order, energy_j))
        self._spend(transmit, block, shares)
        return outputs

    def _by_waveform(
        self, plan: Superposition, errors: UeErrors, index: int, order: NDArray[np.int64],
        symbols: list[NDArray[np.complex64]], place: tuple[int, int],
    ) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:  # fmt: skip
        own = UeErrors(errors.timing_samples[order], errors.carrier_offset_hz[order], errors.phase_rad[order])
        paths = self._paths(self.simulation.network.snapshot(self.state, index), place[0], order)
        seed = int(np.random.SeedSequence([self.seed, *place]).generate_state(1)[0])
        air = Air(
            self.grid, paths.taps(self.grid, own, least_lead=_FILTER_LEAD), self.noise_psd_w_hz, own,
            self.settings.impairments, self.class_w[order], seed,
        )  # fmt: skip
        outputs, state = by_waveform(plan, air, air.start(), symbols)
        self.peak_w[order] = np.fmax(self.peak_w[order], state.peak_w)
        return outputs, state.energy_j

    def _spend(
        self, transmit: NDArray[np.complex64], block: list[NDArray[np.complex64]],
        measured: list[tuple[NDArray[np.int64], NDArray[np.float64]]],
    ) -> None:  # fmt: skip
        """Add what UEs radiated: measured on the waveform, else from the symbols, |b|^2 |s|^2 T."""
        if measured:
            order, energy_j = measured[0]
            self.energy_j[order] += energy_j
            return
        for at, symbols in enumerate(block):
            power_w = np.abs(transmit[at]).astype(np.float64) ** 2
            self.energy_j[at] += float((np.abs(symbols) ** 2).sum(axis=0) @ power_w) * self.grid.symbol_s

    def _check(self, plans: dict[int, Superposition], errors: UeErrors, index: int) -> None:
        """Let every UE send a pilot of its own through what it sends data with, and compare with what was planned."""
        combs = [np.arange(at % self.grid.num_subcarriers, self.grid.num_subcarriers, self._comb) for at in
                 range(len(self.parts))]  # fmt: skip
        pilots = np.zeros((len(self.parts), CHECK_SYMBOLS, self.grid.num_subcarriers), np.complex64)
        for at, comb in enumerate(combs):
            pilots[at, :, comb] = 1.0
        outputs = self._through(plans, errors, index, list(pilots), self.payload_symbols)
        for cell in self.cells:
            mine = self._mine(cell)
            noise_w = self.grid.noise_w(self.noise_psd_w_hz)
            own = self.sums[cell]
            own.checked, doubt = checked_gains(plans[cell], outputs[cell], [combs[at] for at in mine], noise_w)
            if self.settings.scheme.needs_csi:
                own.suspects = np.array(own.ues)[suspects(own.checked, doubt, self.settings.check_tolerance)].tolist()

    @property
    def _comb(self) -> int:
        return min(len(self.parts), self.grid.num_subcarriers)

    def _finish(self) -> None:
        for cell, own in self.sums.items():
            if self.settings.scheme.one_bit:
                rms = [self.moments[at][1] ** 0.5 for at in self._mine(cell)]
                own.mean *= np.float32(self.settings.vote_scale * float(own.weights @ rms))
            exact = np.zeros(self.num_values)
            for weight, at in zip(own.weights, self._mine(cell), strict=True):
                exact += weight * self.parts[at].values
            power = float(exact @ exact)
            own.nmse = float(((own.mean - exact) ** 2).sum()) / power if power > 0 else math.nan

    def _account(self, start_s: float, first_slot: int, pilots: int, control: int) -> AirExchange:
        plan, num_ues = self.simulation.plan, self.simulation.world.num_ues
        end_s = self.state.slot * plan.slot_s
        symbols = self.payload_symbols + pilots + control + CHECK_SYMBOLS
        up = empty_tally(num_ues)
        # The band is used once, whoever many share it: counted at the first UE.
        first = int(self.ues[0])
        up["prb_symbols"][first] = symbols * self.simulation.world.numerology.num_prbs
        up["prb_slots"][first] = -(-symbols // 14) * self.simulation.world.numerology.num_prbs
        up["active_symbols"][self.ues] = symbols
        up["radiated_w_symbols"][self.ues] = self.energy_j / plan.symbol_s
        deliveries = [Delivery(int(ue), "uplink", b"", first_slot * plan.slot_s, end_s) for ue in self.ues]
        exchange = Exchange(
            deliveries, empty_tally(num_ues), up, uplink_airtime_s=symbols * plan.symbol_s,
            cell_active_s=symbols * plan.symbol_s * len(self.cells), end_s=end_s,
        )  # fmt: skip
        return AirExchange(
            list(self.sums.values()), exchange, self.payload_symbols, pilots, control,
            statistics_bits(len(self.parts)), self.peak_w,
        )  # fmt: skip

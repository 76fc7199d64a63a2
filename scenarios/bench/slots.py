"""Slots per second of the MAC loop on a cached channel, beside the loop of Sionna's own parts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.rayleigh import Rayleigh
from channel.seeding import stream
from channel.snapshot import ChannelSnapshot
from channel.units import thermal_noise_w
from ran.air import Air, beams_of, prepare_air
from ran.energy import GnbPower
from ran.mac import SCHEDULERS
from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.nodes import DeviceProfile
from ran.numerology import Numerology
from ran.phy.power_control import PowerControl
from ran.phy.sionna_slot import SionnaSlotLoop
from ran.plan import SlotPlan
from ran.rlc import Rlc
from ran.slot import run_slot
from ran.state import LinkState
from ran.world import Radio, World
from scenarios.bench.bench import Measurement, rate_per_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SERVING_ADVANTAGE_DB = 12.0
_FULL_BUFFER_BYTES = 1 << 50


class CachedWorld:
    """Full-buffer downlink cells with a synthetic cached channel: i.i.d. fading, path loss 90-120 dB, 8 antennas.

    Args:
        num_cells, ues_per_cell: size; UE u belongs to cell u // ues_per_cell.
        num_prbs: carrier width in PRBs.
        rbg_prbs: PRBs that are scheduled together.
        batch: replicas.
        seed: of the channel.
        place: "scattered": losses drawn alike for all links; "hexagonal": omnidirectional sites 200 m apart, power law
            3.5 and 8 dB shadowing, so that cells have neighbours and far cells.
        interfering_cells: of every UE, strongest first; None: all.
    """

    def __init__(
        self, num_cells: int, ues_per_cell: int, *, num_prbs: int = 52, rbg_prbs: int = 4, batch: int = 1,
        seed: int = 1, place: Literal["scattered", "hexagonal"] = "scattered", interfering_cells: int | None = None,
    ) -> None:  # fmt: skip
        self.num_cells, self.batch = num_cells, batch
        self.num_ues = num_cells * ues_per_cell
        self.serving_cell = np.tile(np.repeat(np.arange(num_cells, dtype=np.int32), ues_per_cell), (batch, 1))
        grid = Numerology(3.5e9, 20e6, 30e3, num_prbs, rbg_prbs, "D")
        geometry = self._geometry(grid)
        self.world = World(
            numerology=grid, geometry=geometry, channel=Rayleigh(), seeds=tuple(range(seed, seed + batch)),
            scheduler=SCHEDULERS.get("proportional_fair")(),
            radio=Radio(
                38.0, 23.0, LinkAdaptation(), Harq(), PowerControl(), Rlc(), interfering_cells=interfering_cells
            ),
            devices=[DeviceProfile()] * self.num_ues, gnb_power=GnbPower(),
        )  # fmt: skip
        self.snapshot = self._snapshot(geometry, seed, place)
        self.plan = SlotPlan.of(self.world)
        beams = beams_of(self.plan, self.snapshot, self.serving_cell)
        self.air: Air = prepare_air(self.plan, self.snapshot, beams, beams)

    def _geometry(self, grid: Numerology) -> Geometry:
        return Geometry(
            carrier_hz=grid.carrier_hz, subband_frequency_hz=np.array(grid.rbg_frequency_hz()),
            cell_position_m=np.zeros((self.num_cells, 3)), cell_azimuth_rad=np.zeros(self.num_cells),
            cell_downtilt_rad=0.0, cell_array=AntennaArray(), ue_position_m=np.zeros((self.num_ues, 3)),
            ue_velocity_m_s=np.zeros((self.num_ues, 3)),
            ue_noise_psd_w_hz=thermal_noise_w(1.0, 9.0), gnb_noise_psd_w_hz=thermal_noise_w(1.0, 5.0),
        )  # fmt: skip

    def _snapshot(self, geometry: Geometry, seed: int, place: str) -> ChannelSnapshot:
        rng = stream(seed, "cached channel")
        shape = (self.batch, self.num_ues, 1, self.num_cells, 8, len(geometry.subband_frequency_hz))
        loss_db = self._scattered_loss_db(rng) if place == "scattered" else self._hexagonal_loss_db(rng)
        fading = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)
        gain = fading * 10 ** (-loss_db / 20.0)[:, :, None, :, None, None]
        return ChannelSnapshot(
            gain=gain.astype(np.complex64), subband_frequency_hz=geometry.subband_frequency_hz,
            ue_noise_psd_w_hz=geometry.ue_noise_psd_w_hz, gnb_noise_psd_w_hz=geometry.gnb_noise_psd_w_hz,
            valid_from_s=0.0, valid_until_s=1.0, ue_position_m=np.zeros((self.batch, self.num_ues, 3)),
            cell_position_m=geometry.cell_position_m,
        )  # fmt: skip

    def _scattered_loss_db(self, rng: np.random.Generator) -> NDArray[np.float64]:
        loss_db = rng.uniform(90.0, 120.0, (self.batch, self.num_ues, self.num_cells))
        ue = np.arange(self.num_ues)
        loss_db[:, ue, self.serving_cell[0]] = rng.uniform(90.0, 105.0, (self.batch, self.num_ues))
        loss_db[:, ue, self.serving_cell[0]] -= _SERVING_ADVANTAGE_DB
        return loss_db

    def _hexagonal_loss_db(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return losses where every UE stands within 100 m of its cell, which is the strongest by exchange."""
        rows, columns = np.meshgrid(np.arange(-6, 7), np.arange(-6, 7))
        grid = 200.0 * np.stack([columns + rows / 2, rows * np.sqrt(3) / 2], axis=-1).reshape(-1, 2)
        sites = grid[np.argsort(np.linalg.norm(grid, axis=1), kind="stable")][: self.num_cells]
        angle, radius = rng.uniform(0, 2 * np.pi, self.num_ues), 100.0 * np.sqrt(rng.uniform(0.01, 1.0, self.num_ues))
        ues = sites[self.serving_cell[0]] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        distance = np.linalg.norm(ues[:, None] - sites, axis=-1)
        loss_db = 43.3 + 35.0 * np.log10(np.maximum(distance, 10.0)) + rng.normal(0.0, 8.0, distance.shape)
        ue, own = np.arange(self.num_ues), self.serving_cell[0]
        best = loss_db.argmin(axis=1)
        loss_db[ue, own], loss_db[ue, best] = loss_db[ue, best], loss_db[ue, own]
        return np.repeat(loss_db[None], self.batch, axis=0)

    def full_buffer(self) -> LinkState:
        """Return a downlink state whose queues never empty."""
        state = LinkState.start(self.plan.downlink, self.batch, self.num_ues)
        state.bearer["enqueued"] = _FULL_BUFFER_BYTES
        return state

    def loop(self) -> Callable[[int], LinkState]:
        """Return a function that runs so many more slots."""
        state, done = self.full_buffer(), 0

        def run(num_slots: int) -> LinkState:
            nonlocal done
            for slot in range(done, done + num_slots):
                run_slot(self.plan, slot, self.air, state, None)
            done += num_slots
            return state

        return run

    def sionna_loop(self) -> SionnaSlotLoop:
        """Return Sionna's loop over the same beams, PRB by PRB."""
        cross = self.air.downlink.beams.cross[0]  # [num_rbgs, num_ues, num_ues]
        by_prb = np.repeat(cross, self.plan.downlink.rbg_prbs, axis=0)
        params, link = self.plan.downlink.params, self.plan.downlink
        return SionnaSlotLoop(
            by_prb, self.num_cells, float(params["prb_power_w"][0]), link.noise_w, int(link.re_per_prb[0])
        )


NEAR_CELLS = 8
"""Interfering cells of a UE in the rows that show how cost grows."""


def measure() -> Iterator[Measurement]:
    """Yield slots per second of one cell, 21 cells and replicas; how cost grows with cells; memory of 57 cells."""
    yield from _beside_sionna()
    batched = CachedWorld(1, 10, batch=64)
    value = 64 * rate_per_s(batched.loop(), 2_000)
    alone = rate_per_s(CachedWorld(1, 10).loop(), 10_000)
    yield Measurement(
        name="64 replicas of 1 cell x 10 UEs x 52 PRB x 8 antennas", value=value, unit="replica-slots/s",
        reference="the same world one replica at a time", reference_value=alone, speedup=value / alone,
    )  # fmt: skip
    yield from _growth()


def _beside_sionna() -> Iterator[Measurement]:
    for cells, ues, rbg_prbs, slots in ((1, 8, 4, 20_000), (21, 10, 4, 3_000), (21, 10, 1, 1_500)):
        ours = CachedWorld(cells, ues, rbg_prbs=rbg_prbs)
        value = rate_per_s(ours.loop(), slots)
        reference = rate_per_s(ours.sionna_loop().run, 60)
        size = f"{cells} cell{'s' if cells > 1 else ''} x {ues} UEs x 52 PRB x 8 antennas"
        yield Measurement(
            name=f"{size}, scheduled by {'resource block group of 4' if rbg_prbs == 4 else 'single PRB'}",
            value=value, unit="slots/s", reference="Sionna's scheduler, link adaptation and PHY abstraction",
            reference_value=reference, speedup=value / reference,
        )  # fmt: skip


def _growth() -> Iterator[Measurement]:
    """Yield slots per second at 1 to 57 cells, the exponent of cost, the error of limiting interference, and memory."""
    sizes, rates = (1, 3, 7, 19, 57), []
    for cells in sizes:
        world = CachedWorld(cells, 10, place="hexagonal", interfering_cells=NEAR_CELLS)
        rates.append(rate_per_s(world.loop(), max(1_000, 40_000 // cells)))
        yield Measurement(f"{cells} cells x 10 UEs, {NEAR_CELLS} interfering cells a UE", rates[-1], "slots/s")
    # One cell has no interference at all; the exponent is that of networks.
    for first, what in ((0, "1 to 57"), (1, "3 to 57")):
        slope = np.polyfit(np.log(sizes[first:]), -np.log(rates[first:]), 1)[0]
        yield Measurement(f"cost grows with the number of cells, {what}, to the power of", float(slope), "")
    error_db = np.abs(limit_error_db(57, NEAR_CELLS))
    yield Measurement("median SINR error of the limit, 57 cells", float(np.median(error_db)), "dB")
    yield Measurement("95 % of SINR errors below, 57 cells", float(np.percentile(error_db, 95)), "dB")
    for limit in (NEAR_CELLS, None):
        yield Measurement(
            f"peak memory of a process with 57 cells x 570 UEs, {'all' if limit is None else limit} interfering cells",
            peak_memory_gb(57, 10, limit), "GB",
        )  # fmt: skip


def limit_error_db(num_cells: int, interfering_cells: int, slots: int = 200) -> NDArray[np.float64]:
    """Return SINR errors in dB of blocks sent by equal grants with limited and with all interference."""
    full = CachedWorld(num_cells, 10, place="hexagonal")
    limited = CachedWorld(num_cells, 10, place="hexagonal", interfering_cells=interfering_cells)
    exact, near = full.full_buffer(), limited.full_buffer()
    errors = []
    for slot in range(slots):
        owner = np.full((1, num_cells, full.plan.downlink.num_rbgs), -1, np.int32)
        owner[0] = 10 * np.arange(num_cells)[:, None] + slot % 10  # every cell gives its band to one UE
        a, _ = run_slot(full.plan, slot, full.air, exact, None, owner)
        b, _ = run_slot(limited.plan, slot, limited.air, near, None, owner)
        assert a is not None
        assert b is not None
        both = (a.block["prbs"] > 0) & (a.block["prbs"] == b.block["prbs"]) & (a.block["mcs"] == b.block["mcs"])
        errors.append(10 * np.log10(b.block["sinr"][both] / a.block["sinr"][both]))
    return np.concatenate(errors)


def peak_memory_gb(num_cells: int, ues_per_cell: int, interfering_cells: int | None) -> float:
    """Return the largest resident memory of a fresh process that runs a hundred slots of such a world, GB."""
    program = (
        "import resource\n"
        "from scenarios.bench.slots import CachedWorld\n"
        f"world = CachedWorld({num_cells}, {ues_per_cell}, place='hexagonal', interfering_cells={interfering_cells})\n"
        "world.loop()(100)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e9

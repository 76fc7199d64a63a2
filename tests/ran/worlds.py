"""Small random worlds: any size, any mean SNR, fading from a seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.rayleigh import Rayleigh
from channel.snapshot import ChannelSnapshot
from channel.units import thermal_noise_w
from ran.air import Air, beams_of, prepare_air
from ran.energy import GnbPower
from ran.mac import SCHEDULERS
from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.mac.slicing import Slice
from ran.nodes import DeviceProfile
from ran.numerology import Numerology
from ran.phy.power_control import PowerControl
from ran.plan import SlotPlan
from ran.rlc import Rlc
from ran.state import LinkState
from ran.world import LEARNING, Radio, World


@dataclass
class SmallWorld:
    """A world with its plan, one coherence interval of air, and both directions' states."""

    world: World
    plan: SlotPlan
    snapshot: ChannelSnapshot
    serving_cell: np.ndarray
    air: Air
    downlink: LinkState
    uplink: LinkState

    def link(self) -> LinkState:
        """Return a fresh state of one direction."""
        return LinkState.start(self.plan.downlink, self.world.batch, self.world.num_ues)

    def prepare(self, snapshot: ChannelSnapshot | None = None) -> Air:
        """Return the air of a snapshot, by default the world's own, with reports that are up to date."""
        snapshot = snapshot or self.snapshot
        beams = beams_of(self.plan, snapshot, self.serving_cell)
        return prepare_air(self.plan, snapshot, beams, beams)


def small_world(
    *,
    cells: int = 1,
    ues_per_cell: int = 4,
    seeds: tuple[int, ...] = (1,),
    loss_db: tuple[float, float] = (85.0, 115.0),
    isolation_db: float = 15.0,
    antennas: int = 4,
    pattern: str = "DDDSU",
    scheduler: str = "proportional_fair",
    flat: bool = False,
    radio: Radio | None = None,
    numerology: Numerology | None = None,
    ue_antennas: int = 1,
    slices: dict[str, Slice] | None = None,
) -> SmallWorld:
    """Return a world in which replica b is drawn from ``seeds[b]`` alone."""
    grid = numerology or Numerology.of(3.5e9, 20e6, 30e3, pattern)
    ues = cells * ues_per_cell
    frequency_hz = np.array(grid.rbg_frequency_hz())
    geometry = Geometry(
        carrier_hz=3.5e9, subband_frequency_hz=frequency_hz, cell_position_m=np.zeros((cells, 3)),
        cell_azimuth_rad=np.zeros(cells), cell_downtilt_rad=0.0, cell_array=AntennaArray(),
        ue_position_m=np.zeros((ues, 3)), ue_velocity_m_s=np.zeros((ues, 3)),
        ue_noise_psd_w_hz=thermal_noise_w(1.0, 9.0), gnb_noise_psd_w_hz=thermal_noise_w(1.0, 5.0),
    )  # fmt: skip
    world = World(
        numerology=grid, geometry=geometry, channel=Rayleigh(), seeds=seeds, scheduler=SCHEDULERS.get(scheduler)(),
        radio=radio or default_radio(),
        devices=[DeviceProfile()] * ues, gnb_power=GnbPower(), slices=slices or {LEARNING: Slice(share=1.0)},
    )  # fmt: skip
    serving = np.repeat(np.arange(cells, dtype=np.int32), ues_per_cell)
    gains = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        db = rng.uniform(*loss_db, (ues, cells))
        db[np.arange(ues), serving] -= isolation_db
        shape = (ues, ue_antennas, cells, antennas, 1 if flat else len(frequency_hz))
        fading = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)
        fading = np.broadcast_to(fading, (*shape[:-1], len(frequency_hz)))
        gains.append(fading * 10 ** (-db / 20.0)[:, None, :, None, None])
    snapshot = ChannelSnapshot(
        gain=np.stack(gains).astype(np.complex64), subband_frequency_hz=frequency_hz,
        ue_noise_psd_w_hz=geometry.ue_noise_psd_w_hz, gnb_noise_psd_w_hz=geometry.gnb_noise_psd_w_hz,
        valid_from_s=0.0, valid_until_s=1.0, ue_position_m=np.zeros((len(seeds), ues, 3)),
        cell_position_m=geometry.cell_position_m,
    )  # fmt: skip
    plan = SlotPlan.of(world)
    serving_cell = np.tile(serving, (len(seeds), 1))
    small = SmallWorld(world, plan, snapshot, serving_cell, None, None, None)  # type: ignore[arg-type]
    small.air, small.downlink, small.uplink = small.prepare(), small.link(), small.link()
    return small


def default_radio(**changes: Any) -> Radio:
    """Return a gNB of 33 dBm and UEs of 23 dBm with default policies and exact reports, but for ``changes``."""
    radio = Radio(33.0, 23.0, LinkAdaptation(cqi="unquantised"), Harq(), PowerControl(), Rlc())
    return dataclasses.replace(radio, **changes)

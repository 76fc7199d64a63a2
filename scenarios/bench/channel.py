"""Advancing a TR 38.901 world by one coherence interval, beside a fresh drop by Sionna; its memory at system scale."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.layout import LAYOUTS
from channel.seeding import stream
from channel.tr38901 import Tr38901
from channel.units import dbm_to_watt, thermal_noise_w
from scenarios.bench.bench import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEED = 1
_INTERVALS = 200
_SUBBAND_HZ = 1.44e6
_POWER_W = dbm_to_watt(38.0)
_MEMORY_LIMIT_GB = 4.0
_FULL = 1e3


def walking_world(num_ues: int, num_sites: int) -> Geometry:
    """Return three-sector sites 200 m apart with 8 antennas a cell, 13 subbands, and UEs that walk at 1.4 m/s."""
    sites = LAYOUTS.get("hexagonal").model_validate({"num_sites": num_sites, "sectors": 3}).sites()
    rng = stream(_SEED, "bench channel")
    reach_m = np.abs(sites.position_m).max() + 100.0
    place = rng.uniform(-reach_m, reach_m, (3 * num_ues, 2))
    distance_m = np.linalg.norm(place[:, None] - sites.position_m, axis=-1).min(axis=1)
    place = place[(distance_m > 20.0) & (distance_m < 115.0)][:num_ues]
    angle = rng.uniform(0.0, 2 * np.pi, num_ues)
    return Geometry(
        carrier_hz=3.5e9, subband_frequency_hz=np.arange(-6.0, 7.0) * _SUBBAND_HZ,
        cell_position_m=np.column_stack([sites.position_m, np.full(3 * num_sites, 10.0)]),
        cell_azimuth_rad=sites.azimuth_rad, cell_downtilt_rad=math.radians(6.0), cell_array=AntennaArray(),
        ue_position_m=np.column_stack([place, np.full(num_ues, 1.5)]),
        ue_velocity_m_s=1.4 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1),
        ue_noise_psd_w_hz=thermal_noise_w(1.0, 9.0), gnb_noise_psd_w_hz=thermal_noise_w(1.0, 5.0),
    )  # fmt: skip


def measure() -> Iterator[Measurement]:
    """Yield the time of an interval and its parts, the SINR error of weak sites, and the memory of 57 cells."""
    geometry = walking_world(210, 7)
    yield from _advance(geometry)
    yield _weak_error(geometry)
    yield _memory(2000, 19)


def _advance(geometry: Geometry) -> Iterator[Measurement]:
    from channel.evolution_kernels import respond
    from channel.tr38901_sionna import fresh_realisation

    model = Tr38901()
    world = model.start(geometry, _SEED)
    model.realise(geometry, world, 0.0, _SEED)

    def walk() -> None:
        for k in range(1, _INTERVALS + 1):
            model.realise(geometry, world, k * model.coherence_interval_s, _SEED)

    interval_s = _seconds(walk, 1) / _INTERVALS
    fresh_s = _seconds(lambda: fresh_realisation(geometry, _SEED), 3)
    yield Measurement(
        name="advance 210 UEs x 21 cells x 8 antennas x 13 subbands by one interval of 5 ms at 1.4 m/s",
        value=interval_s, unit="s", reference="a fresh UMi drop by Sionna", reference_value=fresh_s,
        speedup=fresh_s / interval_s,
    )  # fmt: skip
    end_s = _INTERVALS * model.coherence_interval_s
    inputs = world.inputs(geometry, end_s)
    gain = np.empty((210, 1, 21, 8, 13), np.complex64)
    large_scale_s = _seconds(lambda: world.inputs(geometry, end_s), 10)
    rays_s = _seconds(lambda: respond(*inputs, gain), 10)
    yield Measurement(name="of which fields, path loss and line of sight at every UE", value=large_scale_s, unit="s")
    yield Measurement(name="of which turning rays and summing them at the subbands", value=rays_s, unit="s")
    rest_s = max(interval_s - large_scale_s - rays_s, 0.0)
    yield Measurement(name="of which drawing anchors that come into reach, and the rest", value=rest_s, unit="s")


def _weak_error(geometry: Geometry) -> Measurement:
    sinr_db = []
    for weak_below_db in (Tr38901().weak_below_db, _FULL):
        model = Tr38901(weak_below_db=weak_below_db)
        snapshot = model.realise(geometry, model.start(geometry, _SEED), 0.0, _SEED)[0]
        sinr_db.append(_sinr_db(snapshot.gain[0, :, 0], geometry))
    return Measurement(
        name=f"median SINR error of fewer rays for sites {Tr38901().weak_below_db:g} dB below the strongest",
        value=float(np.median(np.abs(sinr_db[0] - sinr_db[1]))), unit="dB",
    )  # fmt: skip


def _sinr_db(gain: NDArray[np.complex64], geometry: Geometry) -> NDArray[np.float64]:
    """Return the SINR of every UE and subband under full load, [num_ues, num_subbands]."""
    power = np.mean(np.abs(gain.astype(complex)) ** 2, axis=2)  # [num_ues, num_cells, num_subbands]
    serving = power.mean(axis=-1).argmax(axis=1)
    signal = power[np.arange(len(power)), serving]
    noise = geometry.ue_noise_psd_w_hz * _SUBBAND_HZ / (_POWER_W / power.shape[-1])
    return np.asarray(10 * np.log10(signal / (power.sum(axis=1) - signal + noise)))


def _memory(num_ues: int, num_sites: int) -> Measurement:
    """Measure the peak memory of a process that draws a world and advances it."""
    code = f"from scenarios.bench.channel import peak_memory_gb; print(peak_memory_gb({num_ues}, {num_sites}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    value = float(done.stdout.split()[-1])
    return Measurement(
        name=f"peak memory of {num_ues} UEs x {3 * num_sites} cells x 8 antennas x 13 subbands", value=value, unit="GB",
        reference="limit", reference_value=_MEMORY_LIMIT_GB, speedup=_MEMORY_LIMIT_GB / value,
    )  # fmt: skip


def peak_memory_gb(num_ues: int, num_sites: int) -> float:
    """Draw a world in this process, advance it by three intervals and return the peak resident memory in 10^9 bytes."""
    import resource

    geometry, model = walking_world(num_ues, num_sites), Tr38901()
    world = model.start(geometry, _SEED)
    for k in range(4):
        model.realise(geometry, world, k * model.coherence_interval_s, _SEED)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest time of ``repeats`` runs."""
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return min(times)

"""Large-scale calibration of TR 38.901: what every UE of a hexagonal network gets from every cell, without fast fading.

The assumptions are those of TR 38.901 table 7.8-1 (R1-165974): 19 sites of three sectors with geometric wraparound;
UEs uniform over the cells, 80 % of them indoors on floors drawn as in TR 36.873; half of the buildings with low and
half with high penetration loss; ten elements in a column on one port tilted electrically to 102 degrees; every UE
attached to the cell of largest received power; all cells transmitting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.large_scale import LargeScale
from channel.layout import Hexagonal, Sites
from channel.seeding import stream, stream_key
from channel.tr38901 import Tr38901
from channel.tr38901_tables import Tables, read_tables
from channel.units import dbm_to_watt, thermal_noise_w

_INDOOR_FRACTION = 0.8
_INDOOR_DISTANCE_M = 25.0
_TILT_ZENITH_DEG = 102.0
_UE_NOISE_FIGURE_DB = 9.0
_FEWEST_FLOORS, _MOST_FLOORS = 4, 8
_MOST_UES_PER_DROP = 1710
_ARRAY = AntennaArray(rows=10, columns=1, polarization="single")


@dataclass(frozen=True)
class Case:
    """One column of table 7.8-1.

    Attributes:
        inter_site_distance_m, gnb_height_m, min_distance_m: of the layout; the last is horizontal and outdoors.
        tx_power_dbm: of a cell at 6 GHz.
    """

    inter_site_distance_m: float
    gnb_height_m: float
    min_distance_m: float
    tx_power_dbm: float


CASES = {"umi": Case(200.0, 10.0, 10.0, 44.0), "uma": Case(500.0, 25.0, 35.0, 49.0)}


@dataclass(frozen=True)
class LargeScaleMetrics:
    """What is compared between companies, for every UE.

    Attributes:
        coupling_gain_db: path gain of the serving cell, antenna gains included, [num_ues].
        sir_db: wideband power ratio of the serving cell to all others, [num_ues].
        sinr_db: the same with thermal noise, [num_ues].
    """

    coupling_gain_db: NDArray[np.float64]
    sir_db: NDArray[np.float64]
    sinr_db: NDArray[np.float64]


def large_scale_calibration(
    scenario: Literal["umi", "uma"],
    *,
    carrier_hz: float = 6e9,
    num_ues: int = 3420,
    spec_version: Literal["19.2", "16.1"] = "16.1",
    seed: int = 1,
) -> LargeScaleMetrics:
    """Return the metrics of at least ``num_ues`` UEs in independent drops of at most 1710 (90 to a site).

    Everything is what a scenario's channel ``tr38901`` uses: its path loss, line of sight, shadowing fields and
    penetration loss (``channel.large_scale``), wraparound and antennas; only rays are not drawn.
    Above 6 GHz a cell transmits 35 dBm in 100 MHz, otherwise 44 (UMi) or 49 dBm (UMa) in 20 MHz.

    Args:
        scenario: column of the table.
        carrier_hz: carrier frequency in Hz.
        num_ues: least number of UEs.
        spec_version: of TR 38.901. The companies' results of 2016 have the penetration loss of 16.1.
        seed: of the random streams.
    """
    case = CASES[scenario]
    tx_power_dbm, bandwidth_hz = (case.tx_power_dbm, 20e6) if carrier_hz <= 6e9 else (35.0, 100e6)
    models = [Tr38901(scenario=scenario, o2i_model=kind, spec_version=spec_version) for kind in ("low", "high")]
    heights_m = _height_m(np.arange(_MOST_FLOORS, dtype=float))
    tables = read_tables(models[0], carrier_hz, np.column_stack([np.full(_MOST_FLOORS, case.gnb_height_m), heights_m]))
    # Equally many drops of either building type: a type belongs to the UE and not to the link.
    drops = 2 * -(-num_ues // (2 * _MOST_UES_PER_DROP))
    per_drop = -(-num_ues // drops)
    gain = np.concatenate(
        [_drop_gain(models[drop % 2], tables, carrier_hz, per_drop, seed, drop) for drop in range(drops)]
    )  # [num_ues, num_cells]
    received_w = dbm_to_watt(tx_power_dbm) * gain
    serving_w = received_w.max(axis=1)
    interference_w = received_w.sum(axis=1) - serving_w
    noise_w = thermal_noise_w(bandwidth_hz, _UE_NOISE_FIGURE_DB)
    return LargeScaleMetrics(
        coupling_gain_db=10 * np.log10(gain.max(axis=1)),
        sir_db=10 * np.log10(serving_w / interference_w),
        sinr_db=10 * np.log10(serving_w / (interference_w + noise_w)),
    )


def _drop_gain(
    model: Tr38901, tables: Tables, carrier_hz: float, num_ues: int, seed: int, drop: int
) -> NDArray[np.float64]:
    """Return power gains of one drop, antenna port to UE, [num_ues, num_cells]."""
    case = CASES[model.scenario]
    layout = Hexagonal(
        num_sites=19, sectors=3, inter_site_distance_m=case.inter_site_distance_m, wraparound="geometric"
    )
    sites = layout.sites()
    rng = stream(seed, "calibration", drop)
    indoor = rng.random(num_ues) < _INDOOR_FRACTION
    indoor_distance_m = np.where(indoor, _INDOOR_DISTANCE_M * rng.random((2, num_ues)).min(axis=0), 0.0)
    place_m = _outdoors_far_enough(sites, case.min_distance_m + indoor_distance_m, rng)
    geometry = _geometry(sites, case, carrier_hz, np.column_stack([place_m, _heights_m(indoor, rng)]))
    site_of_cell = geometry.site_of_cell
    first_cell = np.unique(site_of_cell, return_index=True)[1]
    large_scale = replace(
        LargeScale.draw(
            model, geometry, geometry.cell_position_m[first_cell, 2], stream_key(seed, "calibration", drop), tables
        ),
        indoor=indoor.astype(np.int64),
        indoor_distance_m=indoor_distance_m,
    )
    ue = np.arange(geometry.num_ues)
    links = large_scale.at(ue, geometry.ue_position_m, geometry.offset_at(0.0)[:, first_cell])
    site_gain = np.sum(links.weight * links.gain, axis=-1)  # [num_ues, num_sites]
    return np.asarray(site_gain[:, site_of_cell] * port_gain(geometry))


def _outdoors_far_enough(
    sites: Sites, min_distance_m: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return points uniform over the cells, each ``min_distance_m`` [num_ues] from every site, [num_ues, 2]."""
    assert sites.area is not None
    place_m = np.zeros((len(min_distance_m), 2))
    todo = np.arange(len(min_distance_m))
    while len(todo):
        place_m[todo] = sites.area.draw(len(todo), rng)
        todo = todo[sites.distance_m(place_m[todo]).min(axis=1) < min_distance_m[todo]]
    return place_m


def _heights_m(indoor: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return UE heights: on a floor of buildings with 4 to 8, or on the ground (TR 36.873 table 6-1), [num_ues]."""
    floors = rng.integers(_FEWEST_FLOORS, _MOST_FLOORS + 1, size=len(indoor))
    floor = np.floor(rng.random(len(indoor)) * floors)
    return _height_m(np.where(indoor, floor, 0.0))


def _height_m(floor: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.5 + 3.0 * floor


def _geometry(sites: Sites, case: Case, carrier_hz: float, ue_position_m: NDArray[np.float64]) -> Geometry:
    height_m = np.full(len(sites.position_m), case.gnb_height_m)
    return Geometry(
        carrier_hz=carrier_hz,
        subband_frequency_hz=np.zeros(1),
        cell_position_m=np.column_stack([sites.position_m, height_m]),
        cell_azimuth_rad=sites.azimuth_rad,
        cell_downtilt_rad=0.0,
        cell_array=_ARRAY,
        ue_position_m=ue_position_m,
        ue_velocity_m_s=np.zeros_like(ue_position_m),
        ue_noise_psd_w_hz=thermal_noise_w(1.0, _UE_NOISE_FIGURE_DB),
        gnb_noise_psd_w_hz=thermal_noise_w(1.0, 5.0),
        wraparound_m=sites.wraparound_m,
    )


def port_gain(geometry: Geometry) -> NDArray[np.float64]:
    """Return the power gain of the tilted column towards every UE along the straight line, [num_ues, num_cells].

    Weights of TR 36.897 table 5.2-1, w_m = exp(-j pi m cos(theta_etilt)) / sqrt(M), on the
    elements' fields of clause 7.3.
    """
    offset_m = geometry.offset_at(0.0)
    direction = offset_m / np.linalg.norm(offset_m, axis=-1, keepdims=True)
    rows = geometry.cell_array.rows
    row = (rows - 1) / 2 - np.arange(rows)
    weights = np.exp(-1j * np.pi * row * np.cos(np.radians(_TILT_ZENITH_DEG))) / np.sqrt(rows)
    response = geometry.cell_array.response(direction, geometry.cell_azimuth_rad, geometry.cell_downtilt_rad)
    return np.asarray(np.abs(response @ weights) ** 2)

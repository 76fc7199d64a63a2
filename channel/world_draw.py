"""The beginning of a TR 38.901 world: its fields, its antennas and room for its rays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channel.anchors import AnchorDraw
from channel.antenna import panel_axes
from channel.blockage import Blockers
from channel.evolution import RayPool, WalkingWorld
from channel.large_scale import LargeScale
from channel.tr38901_kernels import RAYS, WEAK_RAYS
from channel.tr38901_tables import CLUSTER_CORRELATION_M

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.tr38901 import Tr38901


def draw_world(model: Tr38901, geometry: Geometry, seed: int, key: int) -> WalkingWorld:
    """Return a world without rays yet; ``key`` seeds its clusters."""
    site_of_cell = geometry.site_of_cell
    _, first_cell, sectors = np.unique(site_of_cell, return_index=True, return_counts=True)
    cells = np.full((len(first_cell), sectors.max()), -1)
    for site in range(len(cells)):
        cells[site, : sectors[site]] = np.flatnonzero(site_of_cell == site)
    array, bands = geometry.cell_array, geometry.subband_frequency_hz
    large_scale = LargeScale.draw(model, geometry, geometry.cell_position_m[first_cell, 2], seed)
    clusters = int(large_scale.tables.kinds[:, 2].max())
    num_ues, num_sites, num_waves = geometry.num_ues, len(cells), len(geometry.ue_array.waves)
    lanes, wavelength_m = num_waves * cells.shape[1] * array.num_antennas, model.wavelength_m(geometry)
    blockers = None
    if model.blockage != "none":
        blockers = Blockers.draw(
            seed, indoor_office=model.scenario == "inh", self_blocking=model.blockage,
            wavelength_m=wavelength_m,
        )  # fmt: skip
    return WalkingWorld(
        large_scale=large_scale,
        anchors=AnchorDraw(
            seed=key, large_scale=large_scale, region_m=CLUSTER_CORRELATION_M[model.scenario],
            weak_below_db=model.weak_below_db, blockers=blockers, subband_frequency_hz=bands,
        ),
        first_cell=first_cell,
        cells=cells,
        antennas=(wavelength_m, *_antennas(geometry, cells)),
        num_waves=num_waves,
        ue_place_m=wavelength_m * geometry.ue_array.places(),
        strong=RayPool(clusters * RAYS, clusters + 4, lanes, len(bands)),
        weak=RayPool(clusters * WEAK_RAYS, clusters, lanes, len(bands)),
        slot=np.full((num_ues, 4, num_sites, 2), -1, np.int32),
        node=np.zeros((num_ues, 4, 2), np.int64),
        image_m=np.zeros((num_ues, 4, num_sites, 2), np.float32),
        blocked=np.ones((num_ues, 4, num_sites), np.float32),
    )  # fmt: skip


def _antennas(geometry: Geometry, cells: NDArray[np.int64]) -> tuple[Any, ...]:
    """Return panel axes [num_sites, sectors, 3, 3], ports [3, num_ports], pattern and slants, for the kernels."""
    array = geometry.cell_array
    slants = np.array([0.0] if array.polarization == "single" else [-np.pi / 4, np.pi / 4])
    axes = panel_axes(geometry.cell_azimuth_rad, geometry.cell_downtilt_rad)[np.maximum(cells, 0)]
    ports = np.stack([
        np.repeat(np.arange(len(slants)), array.rows * array.columns),
        np.tile(np.repeat(np.arange(array.columns) - (array.columns - 1) / 2, array.rows), len(slants)),
        np.tile((array.rows - 1) / 2 - np.arange(array.rows), array.columns * len(slants)),
    ])  # fmt: skip
    return np.ascontiguousarray(axes), ports, int(array.pattern == "38.901"), np.stack([np.cos(slants), np.sin(slants)])

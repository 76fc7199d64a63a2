"""One TR 38.901 drop by Sionna, taken apart into single rays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channel.evolution import RayState
from channel.sionna_adapter import sionna_state

if TYPE_CHECKING:
    import torch

    from channel.geometry import Geometry


def draw_rays(
    geometry: Geometry,
    *,
    scenario: str,
    los: str,
    indoor: NDArray[np.bool_],
    o2i_model: str,
    spec_version: str,
    seed: int,
    device: str,
) -> RayState:
    """Draw a drop (TR 38.901 clause 7.5, steps 1 to 10) and return its rays.

    Random numbers are consumed exactly as by Sionna's own ``UMi`` and ``UMa``, so equal seeds give Sionna's
    impulse response; double precision keeps the phases of far line-of-sight paths exact.

    Args:
        geometry: the world at time 0.
        scenario: ``umi`` or ``uma``.
        los: line of sight of outdoor UEs, ``random``, ``yes`` or ``no``.
        indoor: which UEs are inside buildings, [num_ues].
        o2i_model: ``low`` or ``high``.
        spec_version: ``19.2`` or ``16.1``.
        seed: of Sionna's generators.
        device: where Sionna computes.
    """
    with sionna_state(seed, device=device, precision="double"):
        model = _sionna_model(geometry, scenario, o2i_model, spec_version)
        model.set_topology(
            ut_loc=_batch(geometry.ue_position_m),
            bs_loc=_batch(geometry.cell_position_m),
            ut_orientations=_batch(np.zeros((geometry.num_ues, 3))),
            bs_orientations=_batch(_orientations(geometry)),
            ut_velocities=_batch(geometry.ue_velocity_m_s),
            in_state=indoor[None],
            los=los if los == "random" else los == "yes",
            bs_site_ids=geometry.site_of_cell,
        )
        return _ray_state(model, geometry)


def _batch(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a copy with a batch axis: Sionna keeps, and may overwrite, the very memory it is given."""
    return np.array(array)[None]


def _sionna_model(geometry: Geometry, scenario: str, o2i_model: str, spec_version: str) -> Any:
    """Return Sionna's channel model of the scenario with the geometry's antennas."""
    from sionna.phy.channel import tr38901

    array = geometry.cell_array
    cell_array = tr38901.PanelArray(
        num_rows_per_panel=array.rows,
        num_cols_per_panel=array.columns,
        polarization=array.polarization,
        polarization_type="cross" if array.polarization == "dual" else "V",
        antenna_pattern=array.pattern,
        carrier_frequency=geometry.carrier_hz,
    )
    ue_array = tr38901.PanelArray(
        num_rows_per_panel=1,
        num_cols_per_panel=1,
        polarization="single",
        polarization_type="V",
        antenna_pattern="omni",
        carrier_frequency=geometry.carrier_hz,
    )
    return {"umi": tr38901.UMi, "uma": tr38901.UMa}[scenario](
        carrier_frequency=geometry.carrier_hz,
        o2i_model=o2i_model,
        ut_array=ue_array,
        bs_array=cell_array,
        direction="downlink",
        spec_version=spec_version,
    )


def _orientations(geometry: Geometry) -> NDArray[np.float64]:
    """Return bearing, downtilt and slant of every cell in radians, [num_cells, 3] (TR 38.901 clause 7.1.3)."""
    downtilt = np.full(geometry.num_cells, geometry.cell_downtilt_rad)
    return np.stack([geometry.cell_azimuth_rad, downtilt, np.zeros(geometry.num_cells)], axis=-1)


def _ray_state(model: Any, geometry: Geometry) -> RayState:
    """Draw the rays of ``model``'s topology and return them, cell by cell to bound the memory."""
    # Sionna's steps 6 to 11, called one by one: its public call returns rays already summed.
    rays = model._ray_sampler(model._lsp)
    phases = model._cir_sampler._step_10(rays.aoa.shape)
    path_delay_s, ray_of_path, first_ray = _paths(model, rays)
    shape = (geometry.num_ues, geometry.num_cells, int(first_ray[-1]))
    amplitude = np.empty((*shape, geometry.cell_array.num_antennas), np.complex64)
    doppler_rad_s = np.empty(shape)
    for cell in range(geometry.num_cells):
        diffuse, direct = _cell_amplitudes(model, rays, phases, cell)  # [num_ues, rays, antennas], [num_ues, antennas]
        order = ray_of_path[cell]
        amplitude[:, cell, :-1] = np.take_along_axis(diffuse, order[..., None], axis=1)
        amplitude[:, cell, -1] = direct
        rate, direct_rate = _cell_doppler(model, rays, cell, geometry)
        doppler_rad_s[:, cell, :-1] = np.take_along_axis(rate, order, axis=1)
        doppler_rad_s[:, cell, -1] = direct_rate
    power = np.add.reduceat(np.abs(amplitude[..., 0]) ** 2, first_ray[:-1], axis=-1)
    delay_s = np.where(power > 0, path_delay_s, 0.0)  # Sionna parks its unused clusters at 1 s
    phasor = np.exp(-2j * np.pi * delay_s[..., None] * geometry.subband_frequency_hz)
    return RayState(amplitude, doppler_rad_s, first_ray, delay_s, phasor.astype(np.complex64))


def _paths(model: Any, rays: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return path delays [num_ues, num_cells, paths], ray orders [num_cells, num_ues, rays] and bounds [paths + 1].

    The two strongest clusters come first, each in three sub-clusters (TR 38.901 table 7.5-5), then the other
    clusters, and last the direct path with its single ray at delay 0. A ray order indexes
    cluster * rays per cluster + ray; the direct ray is not in it.
    """
    delays, strongest = _numpy(rays.delays[0]), _numpy(rays.strongest_cluster_indices[0])
    cluster_delay_spread_s = _numpy(model._scenario.get_param("cDS")[0]) * 1e-9
    generator = model._cir_sampler
    groups = [_numpy(getattr(generator, f"_sub_cl_{i}_ind")) for i in (1, 2, 3)]
    offsets = _numpy(generator._sub_cl_delay_offsets)
    num_clusters, num_rays = delays.shape[-1], sum(len(group) for group in groups)

    rank = np.broadcast_to(np.arange(2, num_clusters + 2), delays.shape).copy()
    np.put_along_axis(rank, strongest, np.array([0, 1]), axis=-1)
    cluster = np.argsort(rank, axis=-1)  # [num_cells, num_ues, num_clusters]
    in_cluster = np.tile(np.arange(num_rays), (num_clusters, 1))
    in_cluster[:2] = np.concatenate(groups)
    order = (cluster[..., None] * num_rays + in_cluster).reshape(*delays.shape[:2], -1)

    delay = np.take_along_axis(delays, cluster, axis=-1)
    split = delay[..., :2, None] + offsets * cluster_delay_spread_s[..., None, None]
    direct = np.zeros((*delays.shape[:2], 1))
    path_delay = np.concatenate([split.reshape(*delays.shape[:2], -1), delay[..., 2:], direct], axis=-1)
    sizes = 2 * [len(group) for group in groups] + (num_clusters - 2) * [num_rays] + [1]
    return path_delay.swapaxes(0, 1), order, np.concatenate([[0], np.cumsum(sizes)])


def _cell_amplitudes(
    model: Any, rays: Any, phases: torch.Tensor, cell: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return one cell's rays at time 0, [num_ues, clusters * rays, antennas], and direct path [num_ues, antennas].

    Equations 7.5-28 to 7.5-30 with path loss and shadowing (step 12).
    """
    import torch
    from sionna.phy.channel.tr38901 import Rays

    one = slice(cell, cell + 1)
    fields = ("delays", "powers", "aoa", "aod", "zoa", "zod", "xpr")
    of_cell = Rays(**{name: getattr(rays, name)[:, one] for name in fields})
    topology = _topology(model, one)
    zero = torch.zeros(1, dtype=phases.dtype, device=phases.device)
    diffuse = model._cir_sampler._step_11_nlos(phases[:, one], topology, of_cell, zero)
    direct = model._cir_sampler._step_11_los(topology, zero)
    # [1, 1 cell, num_ues, clusters, (rays,) 1 UE antenna, antennas, 1 time] each
    diffuse, direct = diffuse[0, 0, ..., 0, :, 0].flatten(1, 2), direct[0, 0, :, 0, 0, :, 0]

    lsp = model._lsp
    gain = torch.sqrt(10 ** (-lsp.pathloss[0, cell] / 10) * lsp.sf[0, cell])
    has_los, k = topology.los[0, 0], lsp.k_factor[0, cell]
    diffuse_weight = gain * torch.where(has_los, torch.sqrt(1 / (k + 1)), torch.ones_like(k))
    direct_weight = gain * torch.where(has_los, torch.sqrt(k / (k + 1)), torch.zeros_like(k))
    return _numpy(diffuse * diffuse_weight[:, None, None]), _numpy(direct * direct_weight[:, None])


def _topology(model: Any, cells: slice) -> Any:
    """Return Sionna's topology record of some cells."""
    from sionna.phy.channel.tr38901.channel_coefficients import Topology
    from sionna.phy.channel.utils import deg_2_rad

    scenario = model._scenario
    angles = {
        name: deg_2_rad(getattr(scenario, name)[:, cells]) for name in ("los_aoa", "los_aod", "los_zoa", "los_zod")
    }
    return Topology(
        velocities=scenario.ut_velocities,
        moving_end="rx",
        los=scenario.los[:, cells],
        distance_3d=scenario.distance_3d[:, cells],
        tx_orientations=scenario.bs_orientations[:, cells],
        rx_orientations=scenario.ut_orientations,
        **angles,
    )


def _cell_doppler(
    model: Any, rays: Any, cell: int, geometry: Geometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 2 pi r.v / lambda in rad/s of one cell's rays [num_ues, clusters * rays] and direct paths [num_ues]."""
    scenario = model._scenario
    rate = 2 * np.pi / float(scenario.lambda_0) * geometry.ue_velocity_m_s
    zenith, azimuth = _numpy(rays.zoa[0, cell].flatten(1)), _numpy(rays.aoa[0, cell].flatten(1))
    direct = np.radians(_numpy(scenario.los_zoa[0, cell])), np.radians(_numpy(scenario.los_aoa[0, cell]))
    return (
        np.einsum("urx,ux->ur", _unit_vectors(zenith, azimuth), rate),
        np.einsum("ux,ux->u", _unit_vectors(*direct), rate),
    )


def _unit_vectors(zenith_rad: NDArray[np.float64], azimuth_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors towards spherical angles, [..., 3] (TR 38.901 equation 7.1-6)."""
    sin_z = np.sin(zenith_rad)
    return np.stack([sin_z * np.cos(azimuth_rad), sin_z * np.sin(azimuth_rad), np.cos(zenith_rad)], axis=-1)


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor's values on the host."""
    return tensor.detach().cpu().numpy()

"""Sionna's own channel for the random numbers and large-scale parameters of one of our worlds."""

import numpy as np

from channel.anchors import _scratch
from channel.sionna_adapter import sionna_state
from channel.tr38901_kernels import draw_random
from channel.tr38901_tables import LOS


def sionnas_response(model, geometry, world, *, los):
    """Return H of Sionna's steps 5 to 12 at the subbands, [ues, ue antennas, cells, antennas, subbands].

    For UEs that stand on anchors, all outdoors or all indoors, and links all in line of sight or all not.
    """
    num_ues, num_cells = geometry.num_ues, geometry.num_cells
    site = np.tile(geometry.site_of_cell, num_ues)
    ue, cell = np.repeat(np.arange(num_ues), num_cells), np.tile(np.arange(num_cells), num_ues)
    position, offset = geometry.ue_position_m, geometry.offset_at(0.0)
    branch = np.full(len(ue), 0 if los else 1)
    kind = world.large_scale.kind(ue, branch)
    kinds = world.large_scale.tables.kinds
    random = _scratch(len(ue), int(kinds[:, 2].max()), world.num_waves)
    draw_random(world.anchors.keys(site, kind, position[ue]), kinds[kind, 2].astype(int), *random)
    random[-1][:] += 2 * np.pi * world.anchors._phase(site, kind, position[ue])[:, None, None, None]
    distance = np.linalg.norm(offset[ue, cell, :2], axis=-1)
    spread, _, _, _ = world.large_scale.spreads(ue, site, branch, position[ue], distance)
    links = world.large_scale.at(np.arange(num_ues), position, offset[:, world.first_cell])

    def by_link(array):  # [1, cells, ues, ...] as in Sionna
        return np.swapaxes(np.reshape(array, (num_ues, num_cells, *np.shape(array)[1:])), 0, 1)[None]

    gain = by_link(links.gain[ue, site, branch])
    k_factor = by_link(np.where(kind == LOS, links.k_factor[ue, site], 1.0))
    with sionna_state(0, precision="double"):
        import torch

        a, tau = _sionna_cir(model, geometry, by_link, random, spread, k_factor, los, torch)
    a = a * np.sqrt(gain[0])[..., None, None, None]
    phasor = np.exp(-2j * np.pi * tau[..., None] * geometry.subband_frequency_hz)
    return np.einsum("cuprm,cupf->urcmf", a, phasor)


def _sionna_cir(model, geometry, by_link, random, spread, k_factor, los, torch):
    from sionna.phy.channel import tr38901
    from sionna.phy.channel.tr38901.channel_coefficients import ChannelCoefficientsGenerator, Topology
    from sionna.phy.channel.tr38901.lsp import LSP
    from sionna.phy.channel.tr38901.rays import RaysGenerator
    from sionna.phy.channel.utils import deg_2_rad

    from channel.tr38901_tables import _sionna_scenario

    scenario = _sionna_scenario(model, geometry.carrier_hz)
    array = geometry.cell_array
    panel = tr38901.PanelArray(
        array.rows, array.columns, array.polarization, {"dual": "cross", "single": "V"}[array.polarization],
        array.pattern, geometry.carrier_hz,
    )  # fmt: skip
    orientation = np.zeros((1, geometry.num_cells, 3))
    orientation[0, :, 0], orientation[0, :, 1] = geometry.cell_azimuth_rad, geometry.cell_downtilt_rad
    shape = (1, geometry.num_cells, geometry.num_ues)
    indoor = model.indoor_fraction == 1.0 or model.scenario in ("inh", "inf")
    scenario.set_topology(
        ut_loc=np.array(geometry.ue_position_m)[None], bs_loc=np.array(geometry.cell_position_m)[None],
        ut_orientations=np.zeros((1, geometry.num_ues, 3)), bs_orientations=orientation,
        ut_velocities=np.zeros((1, geometry.num_ues, 3)), in_state=np.full((1, geometry.num_ues), indoor),
        los=torch.full(shape, los), bs_site_ids=geometry.site_of_cell,
    )  # fmt: skip
    rays_of = RaysGenerator(scenario)
    rays_of.topology_updated_callback()
    delay, shadow, sign, jitter, order, xpr, phase = (torch.tensor(by_link(r)) for r in random)
    coupling = torch.argsort(order.to(torch.int64), dim=-1).to(torch.float64)  # whose argsort is the order
    normals = [shadow, *(jitter[..., i, :] for i in range(4)), xpr, *(coupling[..., i, :, :] for i in range(4))]
    signs = [sign[..., i, :] for i in range(4)]
    rays_of._spatial_uniform = lambda *args, **kwargs: delay
    rays_of._spatial_normal = lambda *args, **kwargs: normals.pop(0)
    rays_of._spatial_binary_sign = lambda *args, **kwargs: signs.pop(0)
    ds, asa, asd, zsa, zsd = (torch.tensor(by_link(spread[:, i])) for i in range(5))
    k = torch.tensor(k_factor)
    rays = rays_of(LSP(ds=ds, asd=asd, asa=asa, sf=torch.ones_like(k), k_factor=k, zsa=zsa, zsd=zsd))
    assert not normals
    assert not signs
    rays.phases = phase if phase.shape[-1] == 4 else torch.cat([phase, torch.zeros_like(phase)], dim=-1)
    ue = geometry.ue_array
    columns, kind = (ue.antennas // 2, "VH") if ue.polarization == "dual" else (ue.antennas, "V")
    ue_panel = tr38901.PanelArray(
        1, columns, ue.polarization, kind, "omni", geometry.carrier_hz,
        element_horizontal_spacing=ue.spacing_wavelengths,
    )  # fmt: skip
    angles = {name: deg_2_rad(getattr(scenario, name)) for name in ("los_aoa", "los_aod", "los_zoa", "los_zod")}
    topology = Topology(
        velocities=scenario.ut_velocities, moving_end="rx", los=scenario.los, distance_3d=scenario.distance_3d,
        tx_orientations=scenario.bs_orientations, rx_orientations=scenario.ut_orientations, **angles,
    )  # fmt: skip
    cir = ChannelCoefficientsGenerator(geometry.carrier_hz, panel, ue_panel, subclustering=True)
    a, tau = cir(1, 1.0, k, rays, topology, scenario.get_param("cDS") * 1e-9)
    return a[0, ..., 0].numpy(), tau[0].numpy()

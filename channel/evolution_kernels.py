"""The response of a world's rays at one place per UE, compiled for one thread and one order of summation."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from channel.tr38901_kernels import element_fields

Array = NDArray[Any]

# sin(2 pi t) / t and cos(2 pi t) as polynomials of t^2 on [0, 1/4], errors below 1.2e-10 (Chebyshev fits). Without
# branches, so that the compiler turns eight rays at a time.
_SIN = (6.283185307136746, -41.34170221839077, 81.60524742220929, -76.70580022475062,
        42.05775406089999, -15.086565420248224, 3.7813191333534233, -0.6207788050070938)  # fmt: skip
_COS = (0.9999999998857549, -19.73920874347977, 64.93938907682922, -85.4566583291931,
        60.24213144558118, -26.404668573300043, 7.8001319986401025, -1.4531124151570285)  # fmt: skip


@numba.njit(cache=True, inline="always")
def turn_rays(turns, displacement, shift, amplitude, cos, sin):
    """Fill amplitude times cosine and sine of every ray's phase, 2 pi turns . (displacement + shift), [num_rays]."""
    x, y = np.float32(displacement[0] + shift[0]), np.float32(displacement[1] + shift[1])
    z = np.float32(displacement[2] + shift[2])
    half, scale = np.float32(0.5), np.float32(amplitude)
    for ray in range(len(cos)):
        t = turns[0, ray] * x + turns[1, ray] * y + turns[2, ray] * z
        t -= np.floor(t + half)
        u = t * t
        s = np.float32(_SIN[7])
        c = np.float32(_COS[7])
        s = s * u + np.float32(_SIN[6])
        c = c * u + np.float32(_COS[6])
        s = s * u + np.float32(_SIN[5])
        c = c * u + np.float32(_COS[5])
        s = s * u + np.float32(_SIN[4])
        c = c * u + np.float32(_COS[4])
        s = s * u + np.float32(_SIN[3])
        c = c * u + np.float32(_COS[3])
        s = s * u + np.float32(_SIN[2])
        c = c * u + np.float32(_COS[2])
        s = s * u + np.float32(_SIN[1])
        c = c * u + np.float32(_COS[1])
        s = s * u + np.float32(_SIN[0])
        c = c * u + np.float32(_COS[0])
        sin[ray] = scale * s * t
        cos[ray] = scale * c


@numba.njit(cache=True, fastmath={"contract"})
def add_rays(ray_real, ray_imag, cos, sin, real, imag):
    """Set the sums of rays [rays, ports] turned by their phases, [ports]."""
    for port in range(len(real)):
        real[port] = 0.0
        imag[port] = 0.0
    for ray in range(len(cos)):
        c, s = cos[ray], sin[ray]
        a, b = ray_real[ray], ray_imag[ray]
        for port in range(len(real)):
            real[port] += a[port] * c - b[port] * s
            imag[port] += a[port] * s + b[port] * c


@numba.njit(cache=True, fastmath={"contract"})
def add_path(real, imag, cos, sin, out_real, out_imag):
    """Add a path's ports turned by its phase at every subband, [bands, ports]."""
    for band in range(len(cos)):
        c, s = cos[band], sin[band]
        x, y = out_real[band], out_imag[band]
        for port in range(len(real)):
            x[port] += real[port] * c - imag[port] * s
            y[port] += real[port] * s + imag[port] * c


@numba.njit(cache=True)
def sum_paths(strong, weak, slot, displacement, shift, amplitude, cos, sin, real, imag):
    """Fill the amplitudes of one branch's paths in every lane, [paths, lanes]; return its pool, place and their number.

    There is none where the branch has no amplitude or no rays.
    """
    pool, place = (strong, slot) if slot >= 0 else (weak, -2 - slot)
    if slot == -1 or amplitude <= 0.0:
        return pool, place, 0
    ray_real, ray_imag, turns, first_ray, num_paths, _, _, _ = pool
    paths = num_paths[place]
    rays = first_ray[place, paths]
    turn_rays(turns[place], displacement, shift, amplitude, cos[:rays], sin[:rays])
    for path in range(paths):
        begin, end = first_ray[place, path], first_ray[place, path + 1]
        add_rays(
            ray_real[place, begin:end], ray_imag[place, begin:end], cos[begin:end], sin[begin:end],
            real[path], imag[path],
        )  # fmt: skip
    return pool, place, paths


@numba.njit(cache=True)
def path_scratch(strong, weak, num_lanes):
    """Return room for the phases of one link's rays [rays] and for its paths [paths, lanes], in either pool."""
    rays = max(strong[0].shape[1], weak[0].shape[1])
    paths = max(strong[5].shape[1], weak[5].shape[1])
    return (
        np.empty(rays, np.float32),
        np.empty(rays, np.float32),
        np.empty((paths, num_lanes), np.float32),
        np.empty((paths, num_lanes), np.float32),
    )


@numba.njit(cache=True)
def direct_path(offset, shift, amplitude, antennas, site, flat):
    """Fill the direct path, real and imaginary, [2, lanes] of a site.

    Amplitude x F_theta exp(-j 2 pi d / lambda), and in the lanes of horizontal elements -F_phi (equation 7.5-29), with
    the phase at the UE's element or pair, ``shift`` [3] from its position.
    """
    flat[:] = 0.0
    if amplitude <= 0.0:
        return
    wavelength_m, axes, ports, pattern, panel = antennas
    distance = math.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    vertical, horizontal = np.empty(panel.shape[1]), np.empty(panel.shape[1])
    towards = (offset[0] * shift[0] + offset[1] * shift[1] + offset[2] * shift[2]) / distance
    turn = (distance + towards) / wavelength_m
    num_lanes = axes.shape[1] * ports.shape[1]
    phase = -2.0 * math.pi * (turn - np.floor(turn))
    for sector in range(axes.shape[1]):
        y, z = element_fields(offset / distance, axes[site, sector], pattern, vertical, horizontal, panel)
        for port in range(ports.shape[1]):
            steer = phase + math.pi * (y * ports[1, port] + z * ports[2, port])
            cos, sin, slant = math.cos(steer), math.sin(steer), int(ports[0, port])
            for wave in range(flat.shape[1] // num_lanes):
                field = -amplitude * horizontal[slant] if wave else amplitude * vertical[slant]
                lane = wave * num_lanes + sector * ports.shape[1] + port
                flat[0, lane] = field * cos
                flat[1, lane] = field * sin


@numba.njit(cache=True)
def lane_pair(lane, num_ports, place, num_places, cells):
    """Return the UE antenna, the cell and its port that a site's lane stands for at one of the UE's places."""
    sectors = len(cells)
    wave, sector, port = lane // (sectors * num_ports), lane // num_ports % sectors, lane % num_ports
    return wave * num_places + place, cells[sector], port


@numba.njit(cache=True)
def respond(
    strong: tuple[Array, ...], weak: tuple[Array, ...], slot: Array, node_weight: Array, displacement: Array,
    diffuse: Array, direct: Array, offset: Array, antennas: tuple[Any, ...], ue_place: Array, cells: Array, gain: Array,
) -> None:  # fmt: skip
    """Fill the response at the subbands, ``gain`` [num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands].

    ``strong`` and ``weak`` are the arrays of ``evolution.RayPool``; ``slot`` [num_ues, 4, num_sites, 2] a slot of the
    strong pool, or -2 - slot of the weak one, or -1; ``node_weight`` [num_ues, 4] the power share of every anchor,
    ``displacement`` [num_ues, 4, 3] from it; ``diffuse`` [num_ues, num_sites, 2] the amplitude of each branch,
    ``direct`` [num_ues, num_sites] that of the direct path; ``offset`` [num_ues, num_sites, 3] from the site;
    ``antennas`` wavelength, axes [num_sites, sectors, 3, 3], ports, pattern, panel; ``ue_place`` [num_places, 3] in
    metres; ``cells`` [num_sites, sectors] the cell of every site's sector or -1.
    """
    num_lanes, bands = strong[0].shape[2], gain.shape[4]
    cos, sin, real, imag = path_scratch(strong, weak, num_lanes)
    out_real, out_imag = np.empty((bands, num_lanes), np.float32), np.empty((bands, num_lanes), np.float32)
    flat = np.empty((2, num_lanes))
    for ue, site, place in np.ndindex((len(slot), slot.shape[2], len(ue_place))):
        direct_path(offset[ue, site], ue_place[place], direct[ue, site], antennas, site, flat)
        out_real[:] = flat[0].astype(np.float32)
        out_imag[:] = flat[1].astype(np.float32)
        for node in range(4):
            for branch in range(2):
                amplitude = diffuse[ue, site, branch] * math.sqrt(node_weight[ue, node])
                pool, at, num_paths = sum_paths(
                    strong, weak, slot[ue, node, site, branch], displacement[ue, node], ue_place[place], amplitude,
                    cos, sin, real, imag,
                )  # fmt: skip
                for path in range(num_paths):
                    add_path(real[path], imag[path], pool[6][at, path], pool[7][at, path], out_real, out_imag)
        for lane in range(num_lanes):
            antenna, cell, port = lane_pair(lane, gain.shape[3], place, len(ue_place), cells[site])
            if cell >= 0:
                for band in range(bands):
                    gain[ue, antenna, cell, port, band] = complex(out_real[band, lane], out_imag[band, lane])


@numba.njit(cache=True)
def collect_paths(
    strong: tuple[Array, ...], weak: tuple[Array, ...], slot: Array, node_weight: Array, displacement: Array,
    diffuse: Array, direct: Array, offset: Array, antennas: tuple[Any, ...], ue_place: Array, cells: Array, gain: Array,
    delay_s: Array,
) -> None:  # fmt: skip
    """Fill what ``respond`` sums: path gains [num_rx, num_rx_ant, num_tx, num_tx_ant, paths] and delays in s.

    The direct path comes first, then anchor by anchor and branch by branch, then zeros.
    """
    num_lanes = strong[0].shape[2]
    cos, sin, real, imag = path_scratch(strong, weak, num_lanes)
    flat = np.empty((2, num_lanes))
    for ue, site, place in np.ndindex((len(slot), slot.shape[2], len(ue_place))):
        direct_path(offset[ue, site], ue_place[place], direct[ue, site], antennas, site, flat)
        for lane in range(num_lanes):
            antenna, cell, port = lane_pair(lane, gain.shape[3], place, len(ue_place), cells[site])
            if cell >= 0:
                gain[ue, antenna, cell, port, 0] = complex(flat[0, lane], flat[1, lane])
        first = 1
        for node in range(4):
            for branch in range(2):
                amplitude = diffuse[ue, site, branch] * math.sqrt(node_weight[ue, node])
                pool, at, num_paths = sum_paths(
                    strong, weak, slot[ue, node, site, branch], displacement[ue, node], ue_place[place], amplitude,
                    cos, sin, real, imag,
                )  # fmt: skip
                for lane in range(num_lanes):
                    antenna, cell, port = lane_pair(lane, gain.shape[3], place, len(ue_place), cells[site])
                    if cell >= 0:
                        for path in range(num_paths):
                            value = complex(real[path, lane], imag[path, lane])
                            gain[ue, antenna, cell, port, first + path] = value
                            delay_s[ue, cell, first + path] = pool[5][at, path]
                first += num_paths

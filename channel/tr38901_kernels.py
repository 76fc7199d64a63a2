"""TR 38.901 clause 7.5, steps 5 to 11, compiled: clusters and rays of one link from one key.

Equal keys give equal bits whatever else is drawn with them, which Sionna's generator, the oracle of the tests, cannot
do. Orders of axes: angles are AOA, AOD, ZOA, ZOD.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RAYS = 20
WEAK_RAYS = 4
# Table 7.5-3 in units of the cluster's angle spread.
RAY_OFFSETS = np.array(
    [0.0447, -0.0447, 0.1413, -0.1413, 0.2492, -0.2492, 0.3715, -0.3715, 0.5129, -0.5129,
     0.6797, -0.6797, 0.8844, -0.8844, 1.1481, -1.1481, 1.5195, -1.5195, 2.1551, -2.1551]
)  # fmt: skip
# Table 7.5-5: rays of the three sub-clusters one after the other; then whole clusters; then the four rays of a weak
# link, whose spread (1.02) is nearest to that of all.
RAY_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 18, 19, 8, 9, 10, 11, 16, 17, 12, 13, 14, 15],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
        [12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
RAY_GROUPS = np.array([[0, 10, 16, 20], [0, 20, 20, 20], [0, 4, 4, 4]])
NUM_GROUPS = np.array([3, 1, 1])
SUB_CLUSTER_DELAY = np.array([0.0, 1.28, 2.56])


@numba.njit(cache=True, inline="always")
def uniform(key, index):
    """Return number ``index`` of the stream ``key`` in (0, 1), by SplitMix64."""
    z = key + np.uint64(index + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@numba.njit(cache=True, inline="always")
def normal(key, index):
    """Return standard normal number ``index`` of the stream ``key``; uses uniforms ``index`` and ``index + 1``."""
    return math.sqrt(-2.0 * math.log(uniform(key, index))) * math.cos(2.0 * math.pi * uniform(key, index + 1))


@numba.njit(cache=True)
def draw_random(
    key: Array, used: Array, delay: Array, shadow: Array, sign: Array, jitter: Array, order: Array, xpr: Array,
    phase: Array,
) -> None:  # fmt: skip
    """Draw what the links' steps 5 to 10 need, for links ``key`` [n].

    Of ``used`` [n] clusters each, ``delay`` [n, C] is uniform and descending; ``shadow`` [n, C] and ``jitter``
    [n, 4, C] are normal, ``sign`` [n, 4, C] is -1 or 1, ``order`` [n, 4, C, 20] permutes the rays, ``xpr`` [n, C, 20]
    is normal, ``phase`` [n, C, 20, 2 or 4] that of the vertical and the horizontal departing field in radians, as the
    UE's vertical and, where there are four, its horizontal element receives it.
    """
    clusters = delay.shape[1]
    for link in range(len(key)):
        own = key[link]
        for c in range(clusters):
            delay[link, c] = uniform(own, c)
        delay[link, : used[link]] = np.sort(delay[link, : used[link]])[::-1]
        at = clusters
        for c in range(clusters):
            shadow[link, c] = normal(own, at)
            at += 2
            for angle in range(4):
                sign[link, angle, c] = 1.0 if uniform(own, at) < 0.5 else -1.0
                jitter[link, angle, c] = normal(own, at + 1)
                at += 3
                for ray in range(RAYS):
                    other = int(uniform(own, at) * (ray + 1))
                    at += 1
                    order[link, angle, c, ray] = order[link, angle, c, other]
                    order[link, angle, c, other] = ray
            for ray in range(RAYS):
                xpr[link, c, ray] = normal(own, at)
                phase[link, c, ray, 0] = 2.0 * math.pi * uniform(own, at + 2)
                phase[link, c, ray, 1] = 2.0 * math.pi * uniform(own, at + 3)
                at += 4
        # After all others, so that the vertical elements of any UE array hear the same.
        for c in range(clusters):
            for ray in range(RAYS):
                for field in range(2, phase.shape[3]):
                    phase[link, c, ray, field] = 2.0 * math.pi * uniform(own, at)
                    at += 1


@numba.njit(cache=True)
def delays_and_powers(kind, ds_s, stretch, uniform_delay, shadow, delay_s, power):
    """Fill one link's delays in s and powers, [C] each (equations 7.5-1 to 7.5-6)."""
    r_tau, zeta, used = kind[0], kind[1], int(kind[2])
    total, first = 0.0, 0.0
    power[:] = 0.0
    delay_s[:] = 0.0
    for c in range(used):
        tau = -r_tau * ds_s * math.log(uniform_delay[c] * (1.0 - 1e-6) + 1e-6)
        first = tau if c == 0 else first
        tau -= first
        delay_s[c] = tau / stretch
        power[c] = math.exp(-tau * (r_tau - 1.0) / (r_tau * ds_s)) * 10.0 ** (-shadow[c] * zeta / 10.0)
        total += power[c]
    least = power.max() / total * 10.0**-2.5
    for c in range(len(power)):
        power[c] /= total
        if power[c] < least:
            power[c] = 0.0


@numba.njit(cache=True)
def cluster_angles(depth, width, centre, zenith, c_angle, sign, jitter, los, angle_deg):
    """Fill a link's cluster angles in degrees, [C] (equations 7.5-9 to 7.5-20); ``depth`` is -ln of relative power."""
    at_first = 0.0
    for c in range(len(depth)):
        away = width * depth[c] / c_angle if zenith else 2.0 * width / 1.4 * math.sqrt(depth[c]) / c_angle
        deviation = sign[c] * away + jitter[c] * width / 7.0
        at_first = deviation if los and c == 0 else at_first
        angle_deg[c] = centre + deviation - at_first


@numba.njit(cache=True)
def draw_clusters(
    table: Array, row: Array, is_los: Array, over_indoor: Array, spread: Array, k_factor: Array, centre_deg: Array,
    random: tuple[Array, ...], delay_s: Array, power: Array, angle_deg: Array,
) -> None:  # fmt: skip
    """Fill delays (step 5) in s [n, C], powers (step 6) [n, C] and cluster angles (step 7) in degrees [n, 4, C].

    Unused clusters and those 25 dB below the strongest have power 0. ``table`` holds per kind of link r_tau, zeta,
    number of clusters, C_phi, C_theta, [kinds, >= 5]; ``row`` is the link's kind, ``is_los`` whether it has a direct
    path, ``over_indoor`` whether its zeniths of arrival centre on the horizon, [n]; ``spread`` DS in s and ASA, ASD,
    ZSA, ZSD in degrees, [n, 5]; ``k_factor`` a power ratio, read where ``is_los``, [n]; ``centre_deg`` direct AOA,
    AOD, ZOA, ZOD, and the ZOD offset, [n, 5]; ``random`` delay, shadow, sign, jitter of ``draw_random``.
    """
    uniform_delay, shadow, sign, jitter = random
    depth = np.empty(power.shape[1])
    for link in range(len(row)):
        kind, k, los, indoor = table[row[link]], k_factor[link], is_los[link], over_indoor[link]
        k_db = 10.0 * math.log10(k) if los else 0.0
        stretch = 0.7705 - 0.0433 * k_db + 0.0002 * k_db**2 + 0.000017 * k_db**3 if los else 1.0
        delays_and_powers(kind, spread[link, 0], stretch, uniform_delay[link], shadow[link], delay_s[link], power[link])
        depth[:] = power[link] / (k + 1.0) if los else power[link]
        depth[0] += k / (k + 1.0) if los else 0.0
        strongest = depth.max()
        for c in range(len(depth)):
            depth[c] = -math.log(min(max(depth[c] / strongest, 1e-6), 1.0))
        c_phi, c_theta = kind[3], kind[4]
        if los:
            c_phi *= 1.1035 - 0.028 * k_db - 0.002 * k_db**2 + 0.0001 * k_db**3
            c_theta *= 1.3086 + 0.0339 * k_db - 0.0077 * k_db**2 + 0.0002 * k_db**3
        for angle in range(4):
            centre = centre_deg[link, angle]
            if angle == 2 and indoor:
                centre = 90.0
            if angle == 3 and not los:
                centre += centre_deg[link, 4]
            cluster_angles(
                depth, spread[link, 1 + angle], centre, angle >= 2, c_theta if angle >= 2 else c_phi,
                sign[link, angle], jitter[link, angle], los, angle_deg[link, angle],
            )  # fmt: skip


@numba.njit(cache=True)
def element_fields(direction, axes, pattern, vertical, horizontal, panel):
    """Fill one element's fields towards a direction and return its place on the panel in half wavelengths.

    Clause 7.3 with polarisation model 2, rotated to the world by equation 7.1-11.

    ``direction`` is a unit vector [3]; the columns of ``axes`` [3, 3] are the panel's axes in the world; ``pattern`` is
    1 for that of table 7.3-1 and 0 for none; ``vertical`` and ``horizontal`` [num_slants] are filled with F_theta and
    F_phi, the slants' cosines and sines being ``panel`` [2, num_slants].
    """
    x = direction[0] * axes[0, 0] + direction[1] * axes[1, 0] + direction[2] * axes[2, 0]
    y = direction[0] * axes[0, 1] + direction[1] * axes[1, 1] + direction[2] * axes[2, 1]
    z = direction[0] * axes[0, 2] + direction[1] * axes[1, 2] + direction[2] * axes[2, 2]
    z = min(max(z, -1.0), 1.0)
    amplitude = 1.0
    if pattern:
        up = min(12.0 * ((math.degrees(math.acos(z)) - 90.0) / 65.0) ** 2, 30.0)
        aside = min(12.0 * (math.degrees(math.atan2(y, x)) / 65.0) ** 2, 30.0)
        amplitude = 10.0 ** ((8.0 - min(up + aside, 30.0)) / 20.0)
    # Unit vectors of growing zenith: the panel's, in the world, against the world's own.
    flat, level = max(math.hypot(x, y), 1e-12), max(math.hypot(direction[0], direction[1]), 1e-12)
    px, py, pz = z * x / flat, z * y / flat, -flat
    dot_theta, dot_phi = 0.0, 0.0
    for w in range(3):
        own = axes[w, 0] * px + axes[w, 1] * py + axes[w, 2] * pz
        theta = direction[2] * direction[w] / level if w < 2 else -level
        phi = (-direction[1] / level, direction[0] / level, 0.0)[w]
        dot_theta += own * theta
        dot_phi += own * phi
    for s in range(panel.shape[1]):  # the panel's phi is its theta turned by 90 degrees, as is the world's
        vertical[s] = amplitude * (panel[0, s] * dot_theta - panel[1, s] * dot_phi)
        horizontal[s] = amplitude * (panel[0, s] * dot_phi + panel[1, s] * dot_theta)
    return y, z


@numba.njit(cache=True)
def cluster_order(power, strongest, strong):
    """Return one link's clusters by falling power; in a strong link the two ``strongest`` (before blockage) first."""
    rank = np.argsort(-power)
    if strong:
        chosen = 2
        for c in rank.copy():
            if c != strongest[0] and c != strongest[1]:
                rank[chosen] = c
                chosen += 1
        rank[0], rank[1] = strongest[0], strongest[1]
    return rank


@numba.njit(cache=True)
def couple(order, layout, begin, end, members):
    """Fill which ray offset each ray of a group has in every angle, [4, 20]: the group's rays in the order drawn."""
    for angle in range(4):
        found = begin
        for drawn in order[angle]:
            for j in range(begin, end):
                if RAY_ORDER[layout, j] == drawn:
                    members[angle, found] = drawn
                    found += 1


@numba.njit(cache=True)
def ray_direction(azimuth_deg, zenith_deg, direction):
    """Fill the unit vector of a ray, [3]; zeniths beyond a pole are mirrored at it, without turning the azimuth."""
    zenith = math.acos(math.cos(math.radians(zenith_deg)))
    azimuth, sin = math.radians(azimuth_deg), math.sin(zenith)
    direction[0], direction[1], direction[2] = sin * math.cos(azimuth), sin * math.sin(azimuth), math.cos(zenith)


@numba.njit(cache=True)
def ray_at_ports(departure, vertical_in, horizontal_in, axes, antennas, real, imag):
    """Fill one ray's amplitude at every port of the site's sectors, [num_sectors * num_ports]."""
    _, _, ports, pattern, panel = antennas
    vertical, horizontal = np.empty(panel.shape[1]), np.empty(panel.shape[1])
    num_ports = ports.shape[1]
    for sector in range(axes.shape[0]):
        y, z = element_fields(departure, axes[sector], pattern, vertical, horizontal, panel)
        for port in range(num_ports):
            slant = int(ports[0, port])
            steer = math.pi * (y * ports[1, port] + z * ports[2, port])
            field = vertical_in * vertical[slant] + horizontal_in * horizontal[slant]
            a = field * complex(math.cos(steer), math.sin(steer))
            real[sector * num_ports + port] = a.real
            imag[sector * num_ports + port] = a.imag


@numba.njit(cache=True)
def draw_rays(
    table: Array, row: Array, strong: bool, random: tuple[Array, ...], delay_s: Array, power: Array, strongest: Array,
    angle_deg: Array, zod_spread_deg: Array, site: Array, antennas: tuple[Any, ...], slot: Array,
    pool: tuple[Array, ...],
) -> None:  # fmt: skip
    """Write the rays (steps 8 to 11) of links into their slots of a pool.

    ``table`` holds per kind, from 5 on, cluster ASA, ASD, ZSA in degrees, XPR mean and deviation in dB, cluster DS in
    s; ``strong`` links have all rays, others ``WEAK_RAYS`` per cluster and no sub-clusters; ``random`` is order, xpr,
    phase of ``draw_random``; ``delay_s``, ``power``, ``angle_deg`` are of ``draw_clusters``; ``strongest`` [n, 2] are
    the two strongest clusters, ``zod_spread_deg`` [n] is the cluster ZSD, ``site`` [n] the link's site, ``slot`` [n]
    where to write. ``antennas`` and ``pool`` are those of ``evolution_kernels``.
    """
    for link in range(len(row)):
        kind, place = table[row[link]], slot[link]
        ray, path = 0, 0
        rank = cluster_order(power[link], strongest[link], strong)
        for position in range(len(rank)):
            c = rank[position]
            if power[link, c] <= 0.0:
                continue
            layout = 2 if not strong else (0 if position < 2 else 1)
            for group in range(NUM_GROUPS[layout]):
                pool[3][place, path] = ray
                pool[5][place, path] = delay_s[link, c] + (SUB_CLUSTER_DELAY[group] * kind[10] if layout == 0 else 0.0)
                path += 1
                ray = draw_group(
                    kind, layout, group, link, c, random, power[link, c], angle_deg[link, :, c], zod_spread_deg[link],
                    antennas, site[link], pool, place, ray,
                )  # fmt: skip
        pool[3][place, path] = ray
        pool[4][place] = path


@numba.njit(cache=True)
def draw_group(
    kind, layout, group, link, c, random, power, angle_deg, zod_spread_deg, antennas, site, pool, place, ray
):  # fmt: skip
    """Write the rays of one path and return where the next path's begin."""
    order, xpr, phase = random
    begin, end = RAY_GROUPS[layout, group], RAY_GROUPS[layout, group + 1]
    members = np.empty((4, RAYS), np.int64)
    couple(order[link, :, c], layout, begin, end, members)
    scale = math.sqrt(power / RAY_GROUPS[layout, NUM_GROUPS[layout]])
    arrival, departure = np.empty(3), np.empty(3)
    num_waves = phase.shape[3] // 2
    num_lanes = pool[0].shape[2] // num_waves
    for j in range(begin, end):
        ray_direction(
            angle_deg[0] + kind[5] * RAY_OFFSETS[members[0, j]], angle_deg[2] + kind[7] * RAY_OFFSETS[members[2, j]],
            arrival,
        )  # fmt: skip
        ray_direction(
            angle_deg[1] + kind[6] * RAY_OFFSETS[members[1, j]],
            angle_deg[3] + zod_spread_deg * RAY_OFFSETS[members[3, j]], departure,
        )  # fmt: skip
        for axis in range(3):
            pool[2][place, axis, ray] = arrival[axis] / antennas[0]
        m = RAY_ORDER[layout, j]
        across = scale * 10.0 ** (-(kind[8] + kind[9] * xpr[link, c, m]) / 20.0)
        for wave in range(num_waves):  # the UE's vertical element, then its horizontal one
            turn, lanes = phase[link, c, m, 2 * wave : 2 * wave + 2], slice(wave * num_lanes, (wave + 1) * num_lanes)
            vertical = (across if wave else scale) * complex(math.cos(turn[0]), math.sin(turn[0]))
            horizontal = (scale if wave else across) * complex(math.cos(turn[1]), math.sin(turn[1]))
            ray_at_ports(
                departure, vertical, horizontal, antennas[1][site], antennas, pool[0][place, ray, lanes],
                pool[1][place, ray, lanes],
            )  # fmt: skip
        ray += 1
    return ray

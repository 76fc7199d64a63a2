"""What a TR 38.901 world draws at an anchor: clusters and rays of links, by clause 7.5 with spatial consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channel.evolution import ANCHOR_SPACING_M
from channel.tr38901_tables import LOS

if TYPE_CHECKING:
    from channel.blockage import Blockers
    from channel.evolution import WalkingWorld
    from channel.large_scale import LargeScale

_CHUNK = 1024
_PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


@dataclass(frozen=True)
class AnchorDraw:
    """Draws rays at anchors.

    The random numbers of a link follow from the seed, the site, the parameter set and the square of side
    ``region_m``, the correlation distance of clusters (table 7.6.3.1-2), in which the anchor stands; initial phases
    from the anchor as well. So two UEs at one place see the same clusters, and neighbouring anchors see the same ones
    under slowly changing spreads and directions until another region begins.

    Attributes:
        seed: of the draws, 63 bits.
        large_scale: fields and tables.
        region_m: side of a region.
        weak_below_db: links this far below a UE's strongest have ``WEAK_RAYS`` rays per cluster; inf: none.
        over_indoor: whether zeniths of indoor UEs centre on the horizon.
        blockers: what blocks clusters, or None.
        subband_frequency_hz: [num_subbands].
    """

    seed: int
    large_scale: LargeScale
    region_m: float
    weak_below_db: float
    blockers: Blockers | None
    subband_frequency_hz: NDArray[np.float64]

    def fill(
        self,
        world: WalkingWorld,
        wanted: NDArray[np.int64],
        position_m: NDArray[np.float64],
        offset_m: NDArray[np.float64],
        displacement_m: NDArray[np.float64],
    ) -> None:
        """Draw the rays of ``wanted`` (UE, anchor, site, branch) [n, 4] and note their slots in ``world``."""
        ue, node, site, branch = wanted.T
        anchors, which = np.unique(wanted[:, :2], axis=0, return_inverse=True)
        which = which.ravel()
        shift = displacement_m[anchors[:, 0], anchors[:, 1]]
        anchor_m = position_m[anchors[:, 0]] - shift
        anchor_offset_m = offset_m[anchors[:, 0]] - shift[:, None]
        weak = self._weak(anchors[:, 0], anchor_m, anchor_offset_m)[which, site]
        if self.blockers is not None:
            passed = self.blockers.direct(anchor_m, anchor_offset_m)
            world.blocked[anchors[:, 0], anchors[:, 1]] = passed
        for is_weak in (False, True):
            pool = world.weak if is_weak else world.strong
            rows = np.flatnonzero(weak == is_weak)
            slots = pool.take(len(rows))
            world.slot[ue[rows], node[rows], site[rows], branch[rows]] = -2 - slots if is_weak else slots
            for begin in range(0, len(rows), _CHUNK):
                part = rows[begin : begin + _CHUNK]
                self._draw(
                    world, ue[part], site[part], branch[part], anchor_m[which[part]],
                    anchor_offset_m[which[part], site[part]], slots[begin : begin + _CHUNK], is_weak,
                )  # fmt: skip

    def _weak(
        self, ue: NDArray[np.int64], anchor_m: NDArray[np.float64], offset_m: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return which sites are weak at anchors, [n, num_sites]."""
        links = self.large_scale.at(ue, anchor_m, offset_m)
        gain = (links.weight * links.gain).sum(axis=-1)
        return np.asarray(gain < gain.max(axis=1, keepdims=True) * 10 ** (-self.weak_below_db / 10))

    def _draw(
        self,
        world: WalkingWorld,
        ue: NDArray[np.int64],
        site: NDArray[np.int64],
        branch: NDArray[np.int64],
        anchor_m: NDArray[np.float64],
        offset_m: NDArray[np.float64],
        slots: NDArray[np.int64],
        is_weak: bool,
    ) -> None:
        """Draw one chunk of links into slots of one pool."""
        from channel.tr38901_kernels import draw_clusters, draw_random, draw_rays

        tables = self.large_scale.tables
        kind = self.large_scale.kind(ue, branch)
        is_los = kind == LOS
        distance_m = np.linalg.norm(offset_m[:, :2], axis=-1)
        spread, k_factor, zod_offset_deg, median_zsd_deg = self.large_scale.spreads(
            ue, site, branch, anchor_m, distance_m
        )
        over_indoor = self.large_scale.indoor[ue] == 1
        n, clusters = len(ue), int(tables.kinds[:, 2].max())
        random = _scratch(n, clusters, world.num_waves)
        draw_random(self.keys(site, kind, anchor_m), tables.kinds[kind, 2].astype(np.int64), *random)
        random[-1][:] += 2 * np.pi * self._phase(site, kind, anchor_m)[:, None, None, None]
        centre_deg = np.column_stack([_angles_deg(offset_m), zod_offset_deg])
        delay_s, power = np.empty((n, clusters)), np.empty((n, clusters))
        angle_deg = np.empty((n, 4, clusters))
        draw_clusters(
            tables.kinds, kind, is_los, over_indoor, spread, k_factor, centre_deg, random[:4], delay_s, power, angle_deg
        )
        strongest = np.argsort(-power, axis=1, kind="stable")[:, :2].copy()
        if self.blockers is not None:
            power *= self.blockers.passed(anchor_m, angle_deg[:, 0], angle_deg[:, 2])
        pool = (world.weak if is_weak else world.strong).arrays
        draw_rays(
            tables.kinds, kind, not is_weak, random[4:], delay_s, power, strongest, angle_deg, 3 / 8 * median_zsd_deg,
            site, world.antennas, slots, pool,
        )  # fmt: skip
        phase = -2 * np.pi * pool[5][slots][..., None] * self.subband_frequency_hz
        pool[6][slots], pool[7][slots] = np.cos(phase), np.sin(phase)

    def keys(
        self, site: NDArray[np.int64], kind: NDArray[np.int64], anchor_m: NDArray[np.float64]
    ) -> NDArray[np.uint64]:
        """Return the keys of links' random numbers: one for each site, parameter set and region, [n]."""
        # Regions of different sites begin at different places, so that not all clusters change at once.
        start = (site[:, None] * np.array([0.6180339887, 0.7548776662])) % 1.0
        region = np.floor(anchor_m[:, :2] / self.region_m + start).astype(np.int64)
        return _mixed(self.seed, site, kind, region[:, 0], region[:, 1])

    def _phase(
        self, site: NDArray[np.int64], kind: NDArray[np.int64], anchor_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return a phase for each anchor in turns, so that anchors of one region do not add up coherently, [n]."""
        node = np.rint(anchor_m[:, :2] / ANCHOR_SPACING_M).astype(np.int64)
        return (_mixed(self.seed ^ 1, site, kind, node[:, 0], node[:, 1]) >> np.uint64(11)) / 2.0**53


def _mixed(seed: int, *parts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return well-mixed 64-bit keys of integers (Murmur's finaliser after each), [n]."""
    key = np.full(len(parts[0]), seed, np.uint64)
    for part, prime in zip(parts, _PRIMES, strict=True):
        key ^= part.astype(np.uint64) * prime
        key = (key ^ (key >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        key = (key ^ (key >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        key ^= key >> np.uint64(33)
    return key


def _scratch(n: int, clusters: int, num_waves: int = 1) -> tuple[NDArray[np.float64], ...]:
    """Return arrays for ``draw_random``; ``num_waves`` is the number of field components that a UE takes."""
    return (
        np.empty((n, clusters)),
        np.empty((n, clusters)),
        np.empty((n, 4, clusters)),
        np.empty((n, 4, clusters)),
        np.empty((n, 4, clusters, 20), np.int8),
        np.empty((n, clusters, 20)),
        np.empty((n, clusters, 20, 2 * num_waves)),
    )


def _angles_deg(offset_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AOA, AOD, ZOA and ZOD of the direct path in degrees, [n, 4]."""
    departure = np.degrees(np.arctan2(offset_m[:, 1], offset_m[:, 0]))
    zenith = np.degrees(np.arctan2(np.linalg.norm(offset_m[:, :2], axis=-1), offset_m[:, 2]))
    return np.stack([departure + 180.0, departure, 180.0 - zenith, zenith], axis=-1)

"""Rays that go on in space: every link's rays are drawn at anchors on a grid and faded from one anchor to the next.

The response is a function of place alone, h(x) = direct(x) + sum_n sqrt(w_n(x)) h_n(x): the anchors n around x have
smooth power weights that sum to 1, and an anchor's rays are plane waves whose phases turn by
2 pi r . (x - x_n) / lambda, so that motion is Doppler. Nothing needs to be remembered: an anchor's rays follow from
its seed and place, and the state only keeps those in use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channel.snapshot import PathSet

if TYPE_CHECKING:
    from channel.anchors import AnchorDraw
    from channel.geometry import Geometry
    from channel.large_scale import LargeScale, LinkState

ANCHOR_SPACING_M = 4.0
"""Side of the anchors' grid: LOS directions and spreads are those of a point at most 2.8 m away."""

_FADE_SHARE = 0.4
"""Share of the way between two anchors on which one fades into the other."""


class RayPool:
    """Slots for the rays of links, reused when a UE has walked on.

    Attributes:
        arrays: real, imag [slots, rays, lanes], turns per metre [slots, 3, rays], first_ray [slots, paths + 1],
            num_paths [slots], delay [slots, paths], cosine and sine of -2 pi f tau [slots, paths, bands]. Lanes are the
            ports of all sectors of a site as a vertical element of the UE hears them, and then, where UEs have
            horizontal elements, as those do.
    """

    def __init__(self, rays: int, paths: int, lanes: int, bands: int) -> None:
        shapes = [(rays, lanes), (rays, lanes), (3, rays), (paths + 1,), (), (paths,), (paths, bands), (paths, bands)]
        kinds = [np.float32, np.float32, np.float32, np.int32, np.int32, np.float64, np.float32, np.float32]
        self._make = [(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
        self.arrays = tuple(np.zeros((0, *shape), kind) for shape, kind in self._make)
        self._free: list[int] = []

    def take(self, count: int) -> NDArray[np.int64]:
        """Return ``count`` free slots, growing as needed."""
        missing = count - len(self._free)
        if missing > 0:
            size = len(self.arrays[0])
            more = missing + max(size, missing) // 4  # zeros cost memory only once written
            grown = []
            for old, (shape, kind) in zip(self.arrays, self._make, strict=True):
                new = np.zeros((size + more, *shape), kind)
                new[:size] = old
                grown.append(new)
            self.arrays = tuple(grown)
            self._free += range(size + more - 1, size - 1, -1)
        taken = [self._free.pop() for _ in range(count)]
        return np.array(taken, np.int64)

    def release(self, slots: NDArray[np.int64]) -> None:
        """Give slots back."""
        self._free += slots.tolist()


@dataclass
class WalkingWorld:
    """The rays in use, kept from one interval to the next; a cache, for every number in it follows from the seed.

    Attributes:
        large_scale: fields and tables.
        anchors: draws the rays of links at anchors.
        first_cell: the first cell of every site, [num_sites].
        cells: cell of every site's sector or -1, [num_sites, sectors].
        antennas: wavelength, panel axes [num_sites, sectors, 3, 3], ports, pattern, slants.
        num_waves: number of field components that a UE takes, 1 or 2.
        ue_place_m: the UE's elements or pairs of them from its position, [num_places, 3].
        strong, weak: pools of rays.
        slot: where the rays of UE, anchor, site and branch are: in ``strong``, -2 - slot in ``weak``, or -1 nowhere.
        node: grid place of the anchors kept, [num_ues, 4, 2].
        image_m: by which image of every site the anchors' rays were drawn, [num_ues, 4, num_sites, 2].
    """

    large_scale: LargeScale
    anchors: AnchorDraw
    first_cell: NDArray[np.int64]
    cells: NDArray[np.int64]
    antennas: tuple[Any, ...]
    num_waves: int
    ue_place_m: NDArray[np.float64]
    strong: RayPool
    weak: RayPool
    slot: NDArray[np.int32]
    node: NDArray[np.int64]
    image_m: NDArray[np.float32]
    blocked: NDArray[np.float32] = field(repr=False)

    def inputs(self, geometry: Geometry, time_s: float) -> tuple[Any, ...]:
        """Return what the kernels read for ``time_s``, after drawing the anchors that have come into reach."""
        position_m = geometry.ue_position_at(time_s)
        offset_m = geometry.offset_at(time_s)[:, self.first_cell]  # [num_ues, num_sites, 3]
        links = self.large_scale.at(np.arange(geometry.num_ues), position_m, offset_m)
        node, node_weight = _anchors_around(position_m)
        displacement_m = np.repeat((position_m - geometry.ue_position_m)[:, None], 4, axis=1)  # anchors keep the height
        displacement_m[..., :2] = position_m[:, None, :2] - node * ANCHOR_SPACING_M
        self._renew(node, node_weight, links, position_m, offset_m, displacement_m)
        diffuse, direct = self._amplitudes(links, node_weight)
        return (
            self.strong.arrays, self.weak.arrays, self.slot, node_weight, displacement_m, diffuse, direct, offset_m,
            self.antennas, self.ue_place_m, self.cells,
        )  # fmt: skip

    def gain(self, geometry: Geometry, time_s: float) -> NDArray[np.complex64]:
        """Return the response at the subbands, [1, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands]."""
        from channel.evolution_kernels import respond

        gain = np.zeros((*_pairs(geometry), len(geometry.subband_frequency_hz)), np.complex64)
        respond(*self.inputs(geometry, time_s), gain)
        return gain[None]

    def paths(self, geometry: Geometry, time_s: float) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
        """Return path gains and delays, shapes as in PathSet."""
        from channel.evolution_kernels import collect_paths

        inputs = self.inputs(geometry, time_s)
        in_use = (self.slot != -1) & (inputs[5][:, None] > 0)  # [num_ues, 4, num_sites, 2]
        longest = self.strong.arrays[5].shape[1]
        count = 1 + longest * int(in_use.sum(axis=(1, 3)).max())
        gain = np.zeros((*_pairs(geometry), count), np.complex64)
        delay_s = np.zeros((geometry.num_ues, geometry.num_cells, count))
        collect_paths(*inputs, gain, delay_s)
        return gain[None], delay_s[None]

    def _amplitudes(
        self, links: LinkState, node_weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return amplitudes of diffuse branches [num_ues, num_sites, 2] and direct paths [num_ues, num_sites]."""
        power = links.weight * links.gain
        direct = power[..., 0] * links.k_factor / (links.k_factor + 1)
        power[..., 0] /= links.k_factor + 1
        passed = np.einsum("un,uns->us", node_weight, self.blocked)
        return np.sqrt(power), np.sqrt(direct * passed)

    def _renew(
        self,
        node: NDArray[np.int64],
        node_weight: NDArray[np.float64],
        links: LinkState,
        position_m: NDArray[np.float64],
        offset_m: NDArray[np.float64],
        displacement_m: NDArray[np.float64],
    ) -> None:
        """Drop the rays of anchors left behind and draw those come into reach."""
        image_m = (position_m[:, None, :2] - offset_m[..., :2]).astype(np.float32)  # [num_ues, num_sites, 2]
        moved = np.abs(self.image_m - image_m[:, None]).max(axis=-1) > 1.0
        stale = moved | (node != self.node).any(axis=-1)[..., None] | (node_weight == 0)[..., None]
        old = stale[..., None] & (self.slot != -1)
        if old.any():
            slots = self.slot[old].astype(np.int64)
            self.strong.release(slots[slots >= 0])
            self.weak.release(-2 - slots[slots < -1])
            self.slot[old] = -1
        self.node[:] = node
        self.image_m[:] = image_m[:, None]
        wanted = (node_weight > 0)[:, :, None, None] & (links.weight > 0)[:, None] & (self.slot == -1)
        if wanted.any():
            self.anchors.fill(self, np.argwhere(wanted), position_m, offset_m, displacement_m)


class WalkedPaths(PathSet):
    """Paths worked out when first asked for: most users of a snapshot need its gains only."""

    def __init__(self, world: WalkingWorld, geometry: Geometry, time_s: float) -> None:
        # PathSet is frozen; its fields are properties here.
        object.__setattr__(self, "_source", (world, geometry, time_s))

    def _worked_out(self) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
        if "_result" not in self.__dict__:
            world, geometry, time_s = self.__dict__["_source"]
            object.__setattr__(self, "_result", world.paths(geometry, time_s))
        result: tuple[NDArray[np.complex64], NDArray[np.float64]] = self.__dict__["_result"]
        return result

    @property
    def gain(self) -> NDArray[np.complex64]:  # type: ignore[override]
        """Complex path amplitudes, [1, num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths]."""
        return self._worked_out()[0]

    @property
    def delay_s(self) -> NDArray[np.float64]:  # type: ignore[override]
        """Path delays in seconds, [1, num_rx, num_tx, num_paths]."""
        return self._worked_out()[1]


def _pairs(geometry: Geometry) -> tuple[int, int, int, int]:
    """Return [num_rx, num_rx_ant, num_tx, num_tx_ant]."""
    return geometry.num_ues, geometry.ue_array.antennas, geometry.num_cells, geometry.cell_array.num_antennas


def _anchors_around(position_m: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return grid places [num_ues, 4, 2] and power weights [num_ues, 4] of the anchors around every UE.

    Weights are products of one per axis, cos^2 and sin^2 across the middle between two anchors and 1 or 0 elsewhere.
    Anchors are ordered by the parity of their place, so that an anchor keeps its row while its UE walks around it.
    """
    place = position_m[:, :2] / ANCHOR_SPACING_M
    low = np.floor(place).astype(np.int64)
    fade = np.clip((place - low - 0.5) / _FADE_SHARE + 0.5, 0.0, 1.0)
    upper = np.where(fade <= 0, 0.0, np.where(fade >= 1, 1.0, np.sin(np.pi / 2 * fade) ** 2))
    parity = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    is_upper = (low[:, None] % 2) != parity  # [num_ues, 4, 2]
    weight = np.where(is_upper, upper[:, None], 1 - upper[:, None]).prod(axis=-1)
    return low[:, None] + is_upper, weight

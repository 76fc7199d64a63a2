"""A scene loaded into Sionna RT: its ground, where antennas may stand, and the paths between them."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.antenna import AntennaArray
from channel.errors import UserError
from channel.llvm import VARIABLE, find_llvm, llvm_libraries
from channel.ray_tracing_files import scene_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry

_VARIANT = "llvm_ad_mono_polarized"
_MOST_LAYERS = 64
_INDOOR_SHARE = 0.9
_CLEARANCE_M = 1e-3


def sionna_rt() -> Any:
    """Return the module ``sionna.rt``, imported with an LLVM that works.

    Dr.Jit takes its LLVM from the environment when it is imported, so the choice is made here, before; it and
    Mitsuba's variant hold for the whole process. What a user has chosen already is left as it is.

    Raises:
        UserError: no LLVM that works, Sionna RT is missing, or Mitsuba already has another kind of variant.
    """
    if "drjit" not in sys.modules:
        found = find_llvm(os.environ, llvm_libraries())
        if found.path is None:
            raise UserError(f"ray tracing cannot start: {found.text}")
        os.environ[VARIABLE] = found.path
    try:
        import mitsuba

        variant = mitsuba.variant()
        if variant is None:
            mitsuba.set_variant(_VARIANT)
        elif not variant.endswith("_ad_mono_polarized"):
            raise UserError(f"Mitsuba's variant is {variant!r} in this process; ray tracing needs {_VARIANT!r}")
        import sionna.rt
    except ImportError as error:
        raise UserError(f"ray tracing cannot start: {error}; run `pip install 'airtune[raytracing]'`") from None
    return sionna.rt


class TracedScene:
    """A scene in Sionna RT.

    Args:
        name: a scene of Sionna RT, or the path of a Mitsuba XML file.
        carrier_hz: carrier frequency.

    Attributes:
        low_m, high_m: corners of the scene's bounding box, [3] each.

    Raises:
        UserError: the scene cannot be loaded, or Sionna RT cannot start.
    """

    def __init__(self, name: str, carrier_hz: float) -> None:
        self.name = name
        self.rt = sionna_rt()
        import mitsuba

        self.mi: Any = mitsuba
        try:
            self.scene = self.rt.load_scene(str(scene_file(name)))
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, SyntaxError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise UserError(f"channel.scene: Sionna RT cannot load {name}: {reason}") from None
        self.scene.frequency = carrier_hz
        box = self.scene.mi_scene.bbox()
        self.low_m, self.high_m = np.array(box.min, float), np.array(box.max, float)

    def surfaces(self, ground_plan_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the heights of the lowest and of the highest surface at points [..., 2], each [...].

        Found by rays straight down. Where there is no surface both are 0: without a ground, heights count from z = 0.
        """
        x, y = ground_plan_m.reshape(-1, 2).T
        z = np.full(len(x), self.high_m[2] + 1.0)
        lowest, highest = np.full(len(x), np.nan), np.full(len(x), np.nan)
        for _ in range(_MOST_LAYERS):
            ray = self.mi.Ray3f(self.mi.Point3f(x, y, z), self.mi.Vector3f(0.0, 0.0, -1.0))
            hit = self.scene.mi_scene.ray_intersect(ray)
            valid = hit.is_valid().numpy()
            if not valid.any():
                break
            lowest = np.where(valid, hit.p.z.numpy(), lowest)
            highest = np.where(np.isnan(highest), lowest, highest)
            z = np.where(valid, lowest - _CLEARANCE_M, self.low_m[2] - 1.0)
        shape = ground_plan_m.shape[:-1]
        return np.nan_to_num(lowest, nan=0.0).reshape(shape), np.nan_to_num(highest, nan=0.0).reshape(shape)

    @cached_property
    def indoor(self) -> bool:
        """Whether the scene is a closed room: a ceiling above nearly all of it."""
        share = (np.arange(32) + 0.5) / 32
        plan_m = self.low_m[:2] + np.stack(np.meshgrid(share, share), -1) * (self.high_m - self.low_m)[:2]
        lowest, highest = self.surfaces(plan_m)
        return bool(np.mean(highest > lowest + _CLEARANCE_M) > _INDOOR_SHARE)

    def covered(self, plan_m: NDArray[np.float64], height_m: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Return which points, [..., 2] at heights above ground, lie in or under something, a building as a rule."""
        ground_m, top_m = self.surfaces(plan_m)
        return (top_m > ground_m + height_m + _CLEARANCE_M) & (not self.indoor)

    def stand(self, position_m: NDArray[np.float64], what: str, time_s: float) -> NDArray[np.float64]:
        """Return world positions of antennas whose heights are above the local ground, [num, 3] both.

        Args:
            position_m: x, y and height above ground.
            what: ``UE`` or ``cell``, for messages.
            time_s: when, for messages.

        Raises:
            UserError: one stands outside the scene, or in or under a building.
        """
        plan_m, height_m = position_m[:, :2], position_m[:, 2]
        outside: NDArray[np.bool_] = np.any((plan_m < self.low_m[:2]) | (plan_m > self.high_m[:2]), axis=1)
        ground_m, top_m = self.surfaces(plan_m)
        above = ground_m + height_m
        buried = (above > self.high_m[2]) if self.indoor else (top_m > above + _CLEARANCE_M)
        for number in np.flatnonzero(outside | buried)[:1]:
            x, y = plan_m[number]
            node = f"{what} {number} at ({x:.1f}, {y:.1f}) m" + (f", {time_s:.1f} s from the start," if time_s else "")
            if outside[number]:
                raise UserError(f"{node} is outside the scene {self.name}, {self._extent()}; place it inside")
            raise UserError(f"{node} {self._blocked(what, plan_m[number], height_m[number])}")
        return np.column_stack([plan_m, above])

    def _extent(self) -> str:
        (x0, y0), (x1, y1) = self.low_m[:2], self.high_m[:2]
        return f"which spans x from {x0:.1f} to {x1:.1f} m and y from {y0:.1f} to {y1:.1f} m"

    def _blocked(self, what: str, plan_m: NDArray[np.float64], height_m: float) -> str:
        """Return why an antenna cannot stand at a point, and where it could."""
        if self.indoor:
            return f"and {height_m:g} m height is above the ceiling of {self.name}; lower it"
        ground_m, top_m = self.surfaces(plan_m[None])
        scene = f"{self.name}, {self._extent()}"
        roof = f"is inside a building of {scene}; its top is {top_m[0] - ground_m[0]:.1f} m above"
        places = self._open_place(plan_m, height_m)
        nearest = f"; the nearest open place is ({places[0]:.1f}, {places[1]:.1f}) m" if places is not None else ""
        higher = ", or raise it above the roof" if what == "cell" else ""
        return f"{roof} ground{nearest}; move it{higher}"

    def _open_place(self, plan_m: NDArray[np.float64], height_m: float) -> NDArray[np.float64] | None:
        """Return the nearest of some places around a point that nothing covers, or None."""
        radius, angle = np.meshgrid(np.arange(2.0, 150.0, 2.0), np.arange(0, 2 * np.pi, np.pi / 8), indexing="ij")
        places = (plan_m + np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)).reshape(-1, 2)
        places = places[((places > self.low_m[:2]) & (places < self.high_m[:2])).all(axis=1)]
        free = places[~self.covered(places, height_m)]
        return free[0] if len(free) else None

    def place_cells(self, geometry: Geometry, cells_m: NDArray[np.float64], array: AntennaArray) -> None:
        """Put transmitters with ``array`` at world positions [num_cells, 3], in place of any that are there."""
        scene = self.scene
        scene.remove(list(scene.transmitters))
        scene.tx_array = self._planar(array)
        for cell, (place, azimuth) in enumerate(zip(cells_m, geometry.cell_azimuth_rad, strict=True)):
            turned = [float(azimuth), float(geometry.cell_downtilt_rad), 0.0]
            scene.add(self.rt.Transmitter(f"cell {cell}", [float(p) for p in place], turned))

    def _planar(self, array: AntennaArray) -> Any:
        """Return Sionna RT's array of the same elements, ports in the same order."""
        return self.rt.PlanarArray(
            num_rows=array.rows, num_cols=array.columns,
            pattern={"38.901": "tr38901", "omni": "iso"}[array.pattern],
            polarization={"single": "V", "dual": "cross"}[array.polarization],
        )  # fmt: skip

    def solve(
        self,
        geometry: Geometry,
        cells_m: NDArray[np.float64],
        ues_m: NDArray[np.float64],
        *,
        interactions: tuple[str, ...],
        max_depth: int,
        samples: int,
        seed: int,
    ) -> dict[str, NDArray[np.generic]]:
        """Return all paths between cells and UEs at world positions [num_cells, 3] and [num_ues, 3].

        Paths are sorted by delay, then by angle of arrival, so that equal inputs give equal bits; links with fewer
        paths than others are filled with zeros. Returns ``amplitude`` at a UE's vertical and, where it has one, its
        horizontal element, with the carrier's phase, complex64 [num_ues, num_waves, num_cells, num_paths,
        num_antennas]; ``delay_s``, float64 [num_ues, num_cells, num_paths]; and
        ``arrival``, unit vectors towards where a path comes from, float32 [num_ues, num_cells, num_paths, 3].
        """
        self.place_cells(geometry, cells_m, geometry.cell_array)
        scene = self.scene
        scene.remove(list(scene.receivers))
        polarization = {"single": "V", "dual": "VH"}[geometry.ue_array.polarization]
        scene.rx_array = self.rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization=polarization)
        for ue, place in enumerate(ues_m):
            scene.add(self.rt.Receiver(f"UE {ue}", [float(p) for p in place]))
        paths = self.rt.PathSolver(deterministic=True)(
            scene, max_depth=max_depth, samples_per_src=samples, seed=seed, **switches(interactions)
        )
        return _sorted_arrays(paths, geometry.carrier_hz)


def switches(interactions: tuple[str, ...]) -> dict[str, bool]:
    """Return the keyword arguments of Sionna RT's solvers for a choice of interactions."""
    return {
        "los": "line_of_sight" in interactions,
        "specular_reflection": "reflection" in interactions,
        "diffuse_reflection": "diffuse" in interactions,
        "refraction": "refraction" in interactions,
        "diffraction": "diffraction" in interactions,
    }


def _sorted_arrays(paths: Any, carrier_hz: float) -> dict[str, NDArray[np.generic]]:
    """Return Sionna RT's paths as NumPy arrays in an order of their own."""
    delay = paths.tau.numpy().astype(np.float64)  # [num_ues, num_cells, num_paths]; -1 where there is none
    zenith, azimuth = paths.theta_r.numpy(), paths.phi_r.numpy()
    gain = (paths.a[0].numpy() + 1j * paths.a[1].numpy()).swapaxes(3, 4)  # [num_ues, num_waves, num_cells, paths, ant]
    # Sionna RT 2.2 at times reports a path without interactions a second time, with an amplitude that is not a number.
    there = (delay >= 0) & np.isfinite(gain).all(axis=(1, 4))
    order = np.lexsort((azimuth, zenith, np.where(there, delay, np.inf)))[..., : int(there.sum(-1).max(initial=0))]
    there, delay, zenith, azimuth = (np.take_along_axis(part, order, -1) for part in (there, delay, zenith, azimuth))
    gain = np.take_along_axis(gain, order[:, None, ..., None], axis=3)
    phasor = np.exp(-2j * np.pi * carrier_hz * delay)[:, None, ..., None]
    amplitude = np.where(there[:, None, ..., None], gain, 0) * phasor
    sin_z = np.sin(zenith)
    arrival = np.stack([sin_z * np.cos(azimuth), sin_z * np.sin(azimuth), np.cos(zenith)], axis=-1)
    return {
        "amplitude": amplitude.astype(np.complex64),
        "delay_s": np.where(there, delay, 0.0),
        "arrival": np.where(there[..., None], arrival, 0).astype(np.float32),
    }

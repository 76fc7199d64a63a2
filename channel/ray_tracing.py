"""From a ray-traced channel's parameters and a geometry to the rays at one time, solved or remembered."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from channel.errors import UserError
from channel.ray_tracing_files import content_key, remembered, scene_digest, scene_file
from channel.ray_tracing_rays import TracedRays
from channel.seeding import stream_key
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.ray_traced import RayTraced
    from channel.ray_tracing_scene import TracedScene


class Tracer:
    """Solves the paths of one world at any time; the scene is loaded when a solve first needs it.

    Args:
        model: the channel's parameters.
        geometry: the world.
        seed: of the scenario.

    Raises:
        UserError: there is no such scene, or the layout wraps around.
    """

    def __init__(self, model: RayTraced, geometry: Geometry, seed: int) -> None:
        problems = model.problems()
        if problems:
            raise UserError(f"channel.{problems[0].replace('`', '', 2)}")
        if geometry.wraparound_m is not None:
            raise UserError("a scene does not repeat itself; choose a layout without wraparound for ray_traced")
        self._model = model
        self._geometry = geometry
        self._seed = stream_key(seed, "ray_traced") & 0x7FFFFFFF
        self._world_key = self._content()

    @cached_property
    def scene(self) -> TracedScene:
        """The loaded scene.

        Raises:
            UserError: it cannot be loaded, or no LLVM that works is found.
        """
        from channel.ray_tracing_scene import TracedScene

        return TracedScene(self._model.scene, self._geometry.carrier_hz)

    def rays(self, time_s: float) -> TracedRays:
        """Return the rays between all cells and the UEs where they are at ``time_s``.

        Raises:
            UserError: an antenna stands outside the scene or in a building, or the scene cannot be loaded.
        """
        position_m = self._geometry.ue_position_at(time_s)
        found = remembered(content_key(self._world_key, position_m), lambda: self._solve(position_m, time_s))
        delay_s = found["delay_s"].astype(np.float64)
        phasor = np.exp(-2j * np.pi * delay_s[..., None] * self._geometry.subband_frequency_hz)
        wavelength_m = SPEED_OF_LIGHT_M_S / self._geometry.carrier_hz
        return TracedRays(
            position_m=position_m,
            amplitude=found["amplitude"].astype(np.complex64),
            wave_rad_m=2 * np.pi / wavelength_m * found["arrival"].astype(np.float64),
            delay_s=delay_s,
            delay_phasor=phasor.astype(np.complex64),
            ue_place_m=wavelength_m * self._geometry.ue_array.places(),
        )

    def _solve(self, position_m: NDArray[np.float64], time_s: float) -> dict[str, NDArray[np.generic]]:
        """Return what Sionna RT finds with the UEs at ``position_m``, heights above ground, [num_ues, 3]."""
        geometry, model = self._geometry, self._model
        cells_m = self.scene.stand(geometry.cell_position_m, "cell", 0.0)
        return self.scene.solve(
            geometry, cells_m, self.scene.stand(position_m, "UE", time_s),
            interactions=model.interactions, max_depth=model.max_depth, samples=model.samples, seed=self._seed,
        )  # fmt: skip

    def _content(self) -> str:
        """Return a hash of everything but the UE positions that a solve depends on."""
        model, geometry = self._model, self._geometry
        options = model.model_dump(mode="json", exclude={"scene", "coherence_interval_s", "retrace_interval_s"})
        return content_key(
            scene_digest(scene_file(model.scene)),
            repr(sorted(options.items())),
            repr((geometry.carrier_hz, geometry.cell_downtilt_rad, self._seed)),
            geometry.cell_array.model_dump_json(),
            geometry.ue_array.polarization,
            geometry.cell_position_m,
            geometry.cell_azimuth_rad,
        )

"""Ray-traced channels through Sionna RT: paths solved in a scene now and then, their phases followed between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from channel.model import CHANNELS, ChannelModel
from channel.quantities import physical
from channel.ray_tracing_files import is_path, scene_file, scene_names
from channel.registry import did_you_mean

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.ray_tracing import Tracer
    from channel.ray_tracing_rays import TracedRays
    from channel.snapshot import ChannelSnapshot

RetraceIntervalS: Any = physical(1e-3, 1e4, "s", "a time between two solves")
Interaction = Literal["line_of_sight", "reflection", "refraction", "diffraction", "diffuse"]


@dataclass(frozen=True)
class TracedState:
    """What solves paths, and the rays that it found last."""

    tracer: Tracer
    rays: TracedRays


@CHANNELS.register("ray_traced")
class RayTraced(ChannelModel):
    """Ray tracing in a scene by Sionna RT: line of sight, reflections, refraction, diffraction, diffuse scattering.

    At the start of every retrace interval the paths between all cells and UEs are solved where the UEs then
    are (``Geometry.ue_position_at``). Until the next one, each path's phase turns as the UE moves by dx(t) against
    its own direction of arrival, which is Doppler, h(t, f) = sum_p a_p exp(j 2 pi r_p . dx(t) / lambda)
    exp(-j 2 pi f tau_p); any time can be asked for in any order. Solved paths are kept on disk by content hash
    (``AIRTUNE_CACHE``, or ``airtune`` in the user's cache folder): a second run with equal inputs solves
    nothing, does not even import Sionna RT, and has equal bits.

    Heights of cells and UEs are above the scene's ground below them; no antenna may stand in a building,
    unless the scene is a closed room. Arrays are synthetic: all antennas of a panel or of a UE see the plane waves of
    its centre; those of a UE are isotropic (``Geometry.ue_array``). Solving takes place on the CPU, whatever the
    scenario's device, needs an LLVM that works (``airtune doctor``), and sets Mitsuba's variant and, before Dr.Jit
    is imported, ``DRJIT_LIBLLVM_PATH`` for this process.

    It does not model moving objects, walls that UEs walk through (an error), a path that appears or ends within a
    retrace interval, or the array's change of beam over the band.
    """

    scene: str = Field(
        min_length=1, description="a scene of Sionna RT by name, such as munich, or the path of a Mitsuba XML file"
    )
    interactions: tuple[Interaction, ...] = Field(
        default=("line_of_sight", "reflection", "refraction"),
        description="what paths may consist of: line_of_sight, reflection, refraction, diffraction, diffuse",
    )
    max_depth: int = Field(default=3, ge=0, le=50, description="most interactions of one path")
    samples: int = Field(default=200_000, ge=1, le=100_000_000, description="rays shot from every cell to find paths")
    retrace_interval_s: RetraceIntervalS = Field(
        default=0.5, description="time between two solves; between them phases advance"
    )

    def problems(self) -> list[str]:
        """Return that the scene does not exist."""
        names = scene_names()
        if not names:
            return ["`scene`: Sionna RT is not installed; run `pip install 'airtune[raytracing]'`"]
        if is_path(self.scene):
            if scene_file(self.scene).is_file():
                return []
            return [f"`scene`: there is no file {self.scene!r}; give the path of a Mitsuba XML file, or a scene's name"]
        if self.scene in names:
            return []
        near = did_you_mean(self.scene, names) or "."
        return [f"`scene`: unknown scene {self.scene!r}{near} Known: {', '.join(names)}; or the path of an XML file"]

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> TracedState:  # noqa: ARG002
        """Return the rays at time 0.

        Raises:
            UserError: no such scene, no LLVM that works, or an antenna stands outside the scene or in a building.
        """
        from channel.ray_tracing import Tracer

        tracer = Tracer(self, geometry, seed)
        return TracedState(tracer, tracer.rays(0.0))

    def realise(
        self,
        geometry: Geometry,
        state: TracedState,
        time_s: float,
        seed: int,  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, TracedState]:
        """Return the snapshot of the coherence interval that holds ``time_s``, and the state with the rays used.

        Raises:
            UserError: a UE has left the scene or walked into a building.
        """
        import numpy as np

        start_s = self.interval(time_s)[1]
        solved_s = int(start_s / self.retrace_interval_s + 1e-9) * self.retrace_interval_s
        if not np.array_equal(state.rays.position_m, geometry.ue_position_at(solved_s)):
            state = replace(state, rays=state.tracer.rays(solved_s))
        paths, gain = state.rays.at(geometry.ue_position_at(start_s))
        return self._snapshot(geometry, time_s, paths, gain), state

"""TR 38.901 stochastic channels through Sionna: a drop drawn once, its rays followed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from channel.errors import UserError
from channel.model import CHANNELS, ChannelModel
from channel.quantities import Fraction
from channel.seeding import stream, stream_key

if TYPE_CHECKING:
    from channel.evolution import RayState
    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot

MIN_DISTANCE_M = {"umi": 10.0, "uma": 35.0}
"""Least horizontal distance between a site and a UE (TR 38.901 table 7.4.1-1)."""

_UE_HEIGHT_M = (1.5, 22.5)


def _as_word(value: Any) -> Any:
    """Undo what YAML makes of the bare words yes, no and 19.2."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, float) else value


@CHANNELS.register("tr38901")
class Tr38901(ChannelModel):
    """3GPP TR 38.901 urban micro (UMi) or urban macro (UMa) by Sionna, continuous in time.

    The drop is drawn once, by Sionna: line-of-sight states, large-scale parameters, clusters of 20 rays and
    their initial phases (clause 7.5). From then on every ray's phase turns at its Doppler rate,
    h(t, f) = sum_r A_r exp(j 2 pi (r_r . v / lambda) t) exp(-j 2 pi f tau_r) (equations 7.5-22 to 7.5-30), so
    the channel is smooth in time and any time can be asked for in any order. Sectors of one site share its
    large-scale parameters.

    It does not model how the large-scale state changes as a UE walks: path loss, shadowing, angles, delays
    and line of sight stay those of the drop while the positions in the snapshot move on, so use it for walks
    that are short against the correlation distances (about 10 m in UMi, 40 m in UMa). Nor blockage, nor the
    array's change of beam over the band. UEs carry one vertical isotropic antenna.
    """

    scenario: Literal["umi", "uma"] = Field(default="umi", description="umi: street canyon; uma: urban macro")
    los: Annotated[Literal["random", "yes", "no"], BeforeValidator(_as_word)] = Field(
        default="random", description="line of sight of outdoor UEs: random (clause 7.4.2), yes or no"
    )
    indoor_fraction: Fraction = Field(default=0.0, description="share of UEs that are inside buildings")
    o2i_model: Literal["low", "high"] = Field(
        default="low", description="building penetration loss (clause 7.4.3); below 6 GHz both are 20 dB"
    )
    spec_version: Annotated[Literal["19.2", "16.1"], BeforeValidator(_as_word)] = Field(
        default="19.2", description="version of TR 38.901"
    )

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> RayState:
        """Return the rays of the drop, drawn by Sionna on ``device`` and held as NumPy arrays.

        Raises:
            UserError: a UE stands too near a site or too low or high for the scenario, or there is no such device.
        """
        self._check(geometry)
        from channel.tr38901_drop import draw_rays

        return draw_rays(
            geometry,
            scenario=self.scenario,
            los=self.los,
            indoor=stream(seed, "indoor").random(geometry.num_ues) < self.indoor_fraction,
            o2i_model=self.o2i_model,
            spec_version=self.spec_version,
            seed=stream_key(seed, "tr38901"),
            device=device,
        )

    def realise(
        self,
        geometry: Geometry,
        state: RayState,
        time_s: float,
        seed: int,  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, RayState]:
        """Return the snapshot of the coherence interval that holds ``time_s``, and the unchanged state.

        Its paths are the clusters (the two strongest in three sub-clusters each) and, last, the direct path.
        """
        paths, gain = state.at(self.interval(time_s)[1])
        return self._snapshot(geometry, time_s, paths, gain), state

    def _check(self, geometry: Geometry) -> None:
        """Raise UserError where a UE lies outside the range for which the scenario is defined."""
        import numpy as np

        low, high = _UE_HEIGHT_M
        height_m = geometry.ue_position_m[:, 2]
        if height_m.min() < low or height_m.max() > high:
            worst = height_m.min() if height_m.min() < low else height_m.max()
            raise UserError(
                f"a UE at {worst:g} m height is outside TR 38.901 {self.scenario}'s {low:g} to {high:g} m; "
                "set ues.height_m within that range"
            )
        least_m = MIN_DISTANCE_M[self.scenario]
        distance_m = np.linalg.norm(geometry.offset_at(0.0)[..., :2], axis=-1)
        ue, cell = np.unravel_index(distance_m.argmin(), distance_m.shape)
        if distance_m[ue, cell] < least_m:
            raise UserError(
                f"UE {ue} stands {distance_m[ue, cell]:.1f} m from cell {cell}, but TR 38.901 {self.scenario} holds "
                f"from {least_m:g} m; move it away (ues.placement.min_distance_m: {least_m:g})"
            )

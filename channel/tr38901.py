"""TR 38.901 stochastic channels with Sionna's parameters, continuous in space and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from channel.errors import UserError
from channel.model import CHANNELS, ChannelModel
from channel.quantities import Fraction
from channel.seeding import stream_key
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from channel.evolution import WalkingWorld
    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot

MIN_DISTANCE_M = {"umi": 10.0, "uma": 35.0, "rma": 35.0, "inh": 0.0, "inf": 1.0}
"""Least horizontal distance between a site and a UE (TR 38.901 table 7.4.1-1; InH and InF hold from 1 m in space)."""

_UE_HEIGHT_M = {"umi": (1.5, 22.5), "uma": (1.5, 22.5), "rma": (1.0, 10.0), "inh": (0.5, 10.0), "inf": (0.5, 25.0)}


def _as_word(value: Any) -> Any:
    """Undo what YAML makes of the bare words yes, no and 19.2."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, float) else value


@CHANNELS.register("tr38901")
class Tr38901(ChannelModel):
    """3GPP TR 38.901 urban, rural, indoor-office or indoor-factory channel, continuous in space and time.

    Parameters and laws are Sionna's. Path loss, shadowing, K-factor and line of sight follow a UE's position:
    shadowing and the other large-scale parameters are Gaussian fields per site with the correlation distances and
    cross-correlations of table 7.5-6, so two UEs at one place see the same; line of sight fades softly (clause
    7.6.3.3). Clusters of 20 rays (clause 7.5, steps 5 to 11) are drawn at anchors 4 m apart with random numbers that
    change every correlation distance of clusters (7.6.3.1), and one anchor's fade into the next's; between, every
    ray's phase turns by 2 pi r . dx / lambda. The response is a function of seed and place, so a UE that comes back
    hears what it heard, and any time can be asked for in any order. Sectors of a site share their rays.

    It does not model differences between floors, random environment heights of UEs above 13 m (taken as 1 m), or
    the arrays' change of beam over the band. With wraparound a channel jumps where the nearest image changes. UEs carry
    the isotropic antennas of ``Geometry.ue_array``: phases of rays and the direct path between them follow from the
    directions of arrival; horizontal elements hear rays by initial phases and XPR of their own (equation 7.5-22).
    """

    scenario: Literal["umi", "uma", "rma", "inh", "inf"] = Field(
        default="umi", description="umi: street canyon; uma, rma: urban, rural macro; inh: office; inf: factory"
    )
    los: Annotated[Literal["random", "yes", "no"], BeforeValidator(_as_word)] = Field(
        default="random", description="line of sight outdoors: random (clause 7.4.2), yes or no"
    )
    indoor_fraction: Fraction = Field(default=0.0, description="share of UEs in buildings (umi, uma, rma)")
    o2i_model: Literal["low", "high", "legacy"] = Field(
        default="low", description="building penetration loss (clause 7.4.3); legacy: 20 dB, for below 6 GHz"
    )
    in_car_fraction: Fraction = Field(default=0.0, description="share of outdoor UEs in cars (rma), 9 dB on average")
    office: Literal["open", "mixed"] = Field(default="mixed", description="kind of office (inh)")
    factory: Literal["sl", "dl", "sh", "dh", "hh"] = Field(
        default="sh", description="kind of factory (inf): sparse or dense clutter, low or high cells; hh: all high"
    )
    blockage: Literal["none", "portrait", "landscape"] = Field(
        default="none", description="blockage model A (clause 7.6.4.1) and how the UE is held; not for inf"
    )
    weak_below_db: float = Field(
        default=20.0, ge=0.0, description="sites this far below a UE's strongest are drawn with fewer rays, dB"
    )
    spec_version: Annotated[Literal["19.2", "16.1"], BeforeValidator(_as_word)] = Field(
        default="19.2", description="version of TR 38.901"
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters together."""
        if self.blockage != "none" and self.scenario == "inf":
            return ["`blockage`: model A is not defined for inf (TR 38.901 table 7.6.4.1-2); set blockage: none"]
        return []

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> WalkingWorld:  # noqa: ARG002
        """Return the fields of the world; everything is computed on the processor, whatever ``device`` is.

        Raises:
            UserError: a UE stands too near a site or too low or high for the scenario.
        """
        self._check(geometry)
        from channel.world_draw import draw_world

        return draw_world(self, geometry, seed, stream_key(seed, "tr38901"))

    def realise(
        self,
        geometry: Geometry,
        state: WalkingWorld,
        time_s: float,
        seed: int,  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, WalkingWorld]:
        """Return the snapshot of the coherence interval that holds ``time_s``, and the state.

        Its paths are the direct path and then the clusters of every anchor in reach, the two strongest of each in
        three sub-clusters; delays are in excess of the direct path's.
        """
        from channel.evolution import WalkedPaths

        start_s = self.interval(time_s)[1]
        gain = state.gain(geometry, start_s)
        return self._snapshot(geometry, time_s, WalkedPaths(state, geometry, start_s), gain), state

    def wavelength_m(self, geometry: Geometry) -> float:
        """Return the wavelength of the carrier in metres."""
        return SPEED_OF_LIGHT_M_S / geometry.carrier_hz

    def _check(self, geometry: Geometry) -> None:
        """Raise UserError where a UE lies outside the range for which the scenario is defined."""
        import numpy as np

        low, high = _UE_HEIGHT_M[self.scenario]
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

"""Large-scale state of TR 38.901 links as a function of place: line of sight, path gain, K-factor, spreads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channel.fields import SpatialFields
from channel.outdoor_to_indoor import penetration_loss_db
from channel.seeding import stream
from channel.tr38901_tables import ASA, ASD, DS, INDOOR, LOS, NLOS, SF, ZSA, ZSD, K, Tables, read_tables

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.tr38901 import Tr38901

_O2I_CORRELATION_M = 10.0
_CAR_LOSS_DB, _CAR_DEVIATION_DB = 9.0, 5.0
_WIDEST_AZIMUTH_DEG, _WIDEST_ZENITH_DEG = 104.0, 52.0


@dataclass(frozen=True)
class LinkState:
    """Large-scale state of every UE and site.

    Attributes:
        los: soft line of sight of the outdoor part, 0 to 1 in power, [num_ues, num_sites].
        gain: path gain times shadowing with and without line of sight, [num_ues, num_sites, 2].
        shadowing_db: of the same, [num_ues, num_sites, 2].
        k_factor: power ratio under line of sight; 0 indoors, where no path is direct, [num_ues, num_sites].
    """

    los: NDArray[np.float64]
    gain: NDArray[np.float64]
    shadowing_db: NDArray[np.float64]
    k_factor: NDArray[np.float64]

    @property
    def weight(self) -> NDArray[np.float64]:
        """Power share of the two branches, [num_ues, num_sites, 2]."""
        return np.stack([self.los, 1 - self.los], axis=-1)


@dataclass(frozen=True)
class LargeScale:
    """Fields of a world and what its UEs carry with them.

    Shadowing, K-factor and spreads are fields per site and parameter set, mixed by the Cholesky factor of table
    7.5-6's cross-correlations; so is line of sight: a normal field against the quantile of its probability (clause
    7.6.3.3). The transition is as steep as the standard's, sqrt(20 / lambda) / pi in the field, but ends.

    Attributes:
        tables: of the scenario.
        fields: 3 parameter sets times 7 parameters, at every site.
        los_field, wall_field: one kind; at every site, and one for all.
        height: row of ``tables`` for every UE and site, [num_ues, num_sites].
        indoor, in_car_db: of every UE: inside a building (0 or 1), loss of its car, [num_ues].
        indoor_distance_m: distance from the outer wall, [num_ues].
        model: the component.
        carrier_hz: carrier frequency.
    """

    tables: Tables
    fields: SpatialFields
    los_field: SpatialFields
    wall_field: SpatialFields
    height: NDArray[np.int64]
    indoor: NDArray[np.int64]
    in_car_db: NDArray[np.float64]
    indoor_distance_m: NDArray[np.float64]
    model: Tr38901
    carrier_hz: float

    @staticmethod
    def draw(
        model: Tr38901,
        geometry: Geometry,
        site_height_m: NDArray[np.float64],
        seed: int,
        tables: Tables | None = None,
    ) -> LargeScale:
        """Draw a world's fields, and who is indoors.

        Args:
            model: the channel's parameters.
            geometry: the world.
            site_height_m: height of every site, [num_sites].
            seed: of the draws.
            tables: read before for this scenario, carrier and at least the world's heights; None: read them now.
        """
        pairs = np.stack(
            np.broadcast_arrays(site_height_m[None, :], np.round(geometry.ue_position_m[:, 2:], 1)), axis=-1
        )
        heights_m, which = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
        if tables is None:
            tables = read_tables(model, geometry.carrier_hz, heights_m)
        num_ues, num_sites = pairs.shape[:2]
        indoor = (stream(seed, "indoor").random(num_ues) < model.indoor_fraction) & tables.has_indoor_set
        depth = stream(seed, "indoor distance").random((num_ues, 2)).min(axis=1) * tables.max_indoor_m
        car = stream(seed, "car")
        in_car = (car.random(num_ues) < model.in_car_fraction) & ~indoor & (model.scenario == "rma")
        return LargeScale(
            tables=tables,
            fields=SpatialFields.draw(seed, "large-scale parameters", list(tables.correlation_m.ravel()), num_sites),
            los_field=SpatialFields.draw(seed, "line of sight", [tables.los_correlation_m], num_sites),
            wall_field=SpatialFields.draw(seed, "penetration", [_O2I_CORRELATION_M], 1),
            height=tables.rows(heights_m)[which].reshape(num_ues, num_sites),
            indoor=indoor.astype(np.int64),
            in_car_db=in_car * car.normal(_CAR_LOSS_DB, _CAR_DEVIATION_DB, num_ues),
            indoor_distance_m=depth * indoor,
            model=model,
            carrier_hz=geometry.carrier_hz,
        )

    def at(self, ue: NDArray[np.int64], position_m: NDArray[np.float64], offset_m: NDArray[np.float64]) -> LinkState:
        """Return the state of UEs ``ue`` [n] at positions [n, 3], their sites' offsets being [n, num_sites, 3]."""
        height, indoor = self.height[ue], self.indoor[ue]
        distance_m = np.linalg.norm(offset_m[..., :2], axis=-1)
        inside = np.broadcast_to(indoor[:, None], distance_m.shape)
        los_sf, los_k, nlos_sf = np.moveaxis(self.fields.at(position_m, [SF, K, 7 * NLOS + SF]), -1, 0)
        normal = np.stack([los_sf, nlos_sf], axis=-1)
        if indoor.any():
            shared = self.fields.at(position_m, [7 * INDOOR + SF])
            normal = np.where(inside[..., None] == 1, shared, normal)
        mean, std = self.tables.moments(height, inside, distance_m, 2)
        shadowing_db = 10 * std[..., SF] * normal
        mixing = self.tables.mixing[LOS]
        k_normal = mixing[K, SF] * los_sf + mixing[K, K] * los_k
        k_factor = np.where(inside == 1, 0.0, 10 ** (mean[..., LOS, K] + std[..., LOS, K] * k_normal))
        loss_db = self.tables.path_loss_db(height, inside, distance_m) + self._penetration_db(ue, position_m)
        los = self._line_of_sight(ue, height, position_m, distance_m)
        return LinkState(los, 10 ** ((shadowing_db - loss_db) / 10), shadowing_db, k_factor)

    def _penetration_db(self, ue: NDArray[np.int64], position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return losses of wall and car, [n, 1, 1]."""
        loss_db = self.in_car_db[ue]
        if self.indoor[ue].any():
            model, building = self.model, self.wall_field.at(position_m)[:, 0, 0]
            loss_db = loss_db + self.indoor[ue] * penetration_loss_db(
                model.o2i_model, self.carrier_hz, model.spec_version, self.indoor_distance_m[ue], building
            )
        return np.asarray(loss_db)[:, None, None]

    def _line_of_sight(
        self,
        ue: NDArray[np.int64],
        height: NDArray[np.int64],
        position_m: NDArray[np.float64],
        distance_m: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        from scipy.special import ndtri

        if self.model.los != "random":
            return np.full(distance_m.shape, float(self.model.los == "yes"))
        outdoors_m = np.maximum(distance_m - self.indoor_distance_m[ue][:, None], 0.0)
        probability = np.clip(self.tables.line_of_sight(height, outdoors_m), 1e-12, 1 - 1e-12)
        margin = self.los_field.at(position_m)[..., 0] + ndtri(probability)
        slope = np.sqrt(20 * self.carrier_hz / 299_792_458.0) / np.pi
        return np.asarray(np.sin(np.pi / 2 * np.clip(0.5 + 2 / np.pi * slope * margin, 0.0, 1.0)) ** 2)

    def spreads(
        self,
        ue: NDArray[np.int64],
        site: NDArray[np.int64],
        branch: NDArray[np.int64],
        position_m: NDArray[np.float64],
        distance_m: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return DS in s with ASA, ASD, ZSA, ZSD in degrees [n, 5]; K-factor, ZOD offset and median ZSD in degrees [n].

        For links ``ue``, ``site``, ``branch`` (0 line of sight, 1 not) [n] at positions [n, 3], distances [n].
        """
        row = np.arange(len(ue))
        kind = self.kind(ue, branch)
        normal = np.empty((len(ue), 7))
        for one in np.unique(kind):
            of_kind = np.flatnonzero(kind == one)
            places, which = np.unique(position_m[of_kind, :2], axis=0, return_inverse=True)
            values = self.fields.at(places, range(7 * one, 7 * one + 7))[which.ravel(), site[of_kind]]
            # Element by element: a matrix product's last bits would depend on how many links are drawn together.
            normal[of_kind] = (self.tables.mixing[one] * values[:, None, :]).sum(axis=-1)
        height, indoor = self.height[ue, site], self.indoor[ue]
        mean, std = (moment[row, branch] for moment in self.tables.moments(height, indoor, distance_m))
        value = 10 ** (mean + std * normal)
        widest = [np.inf, _WIDEST_AZIMUTH_DEG, _WIDEST_AZIMUTH_DEG, _WIDEST_ZENITH_DEG, _WIDEST_ZENITH_DEG]
        offset_deg = self.tables.zod_offset_deg(height, indoor, distance_m)[row, branch]
        return np.minimum(value[:, [DS, ASA, ASD, ZSA, ZSD]], widest), value[:, K], offset_deg, 10 ** mean[:, ZSD]

    def kind(self, ue: NDArray[np.int64], branch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the parameter set of links, [n]."""
        return np.where(self.indoor[ue] == 1, INDOOR, branch)

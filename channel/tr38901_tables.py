"""TR 38.901's parameter tables and distance laws, read from Sionna once per world and then looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channel.sionna_adapter import sionna_state

if TYPE_CHECKING:
    from channel.tr38901 import Tr38901

LOS, NLOS, INDOOR = 0, 1, 2
"""The three parameter sets; outdoor-to-indoor is one of its own, with or without line of sight of the outdoor part."""

SF, K, DS, ASD, ASA, ZSD, ZSA = range(7)
"""Large-scale parameters in the order of clause 7.5, step 4, by which they are correlated."""

_NAMES = ("SF", "K", "DS", "ASD", "ASA", "ZSD", "ZSA")
_SIONNAS_ORDER = [3, 4, 0, 1, 2, 6, 5]
_KIND_COLUMNS = (
    "rTau", "zeta", "numClusters", "CPhiNLoS", "CThetaNLoS", "cASA", "cASD", "cZSA", "muXPR", "sigmaXPR", "cDS",
)  # fmt: skip
# Correlation distances in metres that Sionna keeps in code: of clusters and of the line of sight (table 7.6.3.1-2).
CLUSTER_CORRELATION_M = {"umi": 12.0, "uma": 40.0, "rma": 50.0, "inh": 10.0, "inf": 10.0}
_LOS_CORRELATION_M = {"umi": 50.0, "uma": 50.0, "rma": 60.0, "inh": 10.0}
_DISTANCES_M = np.geomspace(0.5, 50e3, 1500)
_PATH_LOSS, _ZOD_OFFSET, _MEAN, _STD = 0, 1, 2, 9


@dataclass(frozen=True)
class Tables:
    """What TR 38.901 says of one scenario at one carrier.

    Attributes:
        kinds: ray parameters of the three parameter sets in the order that ``tr38901_kernels`` reads, cluster
            delay spread in s, [3, 11].
        correlation_m: correlation distances of the parameters, [3, 7].
        mixing: lower Cholesky factors of their cross-correlations, [3, 7, 7].
        los_correlation_m: correlation distance of the line of sight.
        max_indoor_m: longest distance of an indoor UE from its outer wall.
        has_indoor_set: whether indoor UEs are reached from outdoors.
        heights_m: distinct heights of cell and UE, [num_heights, 2].
        law: by log distance: path loss in dB, ZOD offset in degrees, 7 means and 7 deviations of log10 values,
            [num_heights, indoor, NLOS, 1500, 16].
        los_probability: by log distance, [num_heights, 1500].
    """

    kinds: NDArray[np.float64]
    correlation_m: NDArray[np.float64]
    mixing: NDArray[np.float64]
    los_correlation_m: float
    max_indoor_m: float
    has_indoor_set: bool
    heights_m: NDArray[np.float64]
    law: NDArray[np.float64]
    los_probability: NDArray[np.float64]

    def rows(self, heights_m: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return where pairs of heights [n, 2] are in ``heights_m``, [n]; each must be there."""
        same = (heights_m[:, None] == self.heights_m).all(axis=-1)
        assert same.any(axis=1).all(), "the tables were read for other heights"
        return same.argmax(axis=1)

    def line_of_sight(self, height: NDArray[np.int64], distance_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of line of sight (table 7.4.2-1) at outdoor horizontal distances, same shape."""
        below, share = _locate(distance_m)
        return (1 - share) * self.los_probability[height, below] + share * self.los_probability[height, below + 1]

    def path_loss_db(
        self, height: NDArray[np.int64], indoor: NDArray[np.int64], distance_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return path loss without penetration (table 7.4.1-1) with and without line of sight, [..., 2]."""
        return self._law(height, indoor, distance_m, slice(_PATH_LOSS, _PATH_LOSS + 1))[..., 0]

    def zod_offset_deg(
        self, height: NDArray[np.int64], indoor: NDArray[np.int64], distance_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the offset of zeniths of departure (tables 7.5-7 to 7.5-11), [..., 2]."""
        return self._law(height, indoor, distance_m, slice(_ZOD_OFFSET, _ZOD_OFFSET + 1))[..., 0]

    def moments(
        self, height: NDArray[np.int64], indoor: NDArray[np.int64], distance_m: NDArray[np.float64], count: int = 7
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation of log10 of the first ``count`` parameters, each [..., 2, count]."""
        mean = self._law(height, indoor, distance_m, slice(_MEAN, _MEAN + count))
        return mean, self._law(height, indoor, distance_m, slice(_STD, _STD + count))

    def _law(
        self, height: NDArray[np.int64], indoor: NDArray[np.int64], distance_m: NDArray[np.float64], columns: slice
    ) -> NDArray[np.float64]:
        below, share = _locate(distance_m)
        law = self.law[..., columns]
        low, high = law[height, indoor, :, below], law[height, indoor, :, below + 1]  # [..., 2, columns]
        return low + share[..., None, None] * (high - low)


def _locate(distance_m: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the tabulated distance below each distance, and how far it is on to the next."""
    step = np.log(_DISTANCES_M[1] / _DISTANCES_M[0])
    where = np.clip(np.log(np.maximum(distance_m, _DISTANCES_M[0]) / _DISTANCES_M[0]) / step, 0, len(_DISTANCES_M) - 2)
    below = where.astype(np.int64)
    return below, where - below


def read_tables(model: Tr38901, carrier_hz: float, heights_m: NDArray[np.float64]) -> Tables:
    """Return the tables of a model's scenario for pairs of cell and UE heights in metres, [num_heights, 2]."""
    # Equal seeds and no draws that matter: everything random is replaced by what a world draws itself.
    with sionna_state(0, precision="double"):
        scenario = _sionna_scenario(model, carrier_hz)
        indoor_set = bool(scenario.use_indoor_lsp_params)
        laws = np.array([_laws(scenario, *pair) for pair in heights_m])
        _set_topology(scenario, 10.0, 1.5, np.array([50.0, 50.0, 50.0]), [False, False, True], [True, False, False])
        kinds = np.array([_numpy(scenario.get_param(name))[0, 0] * np.ones(3) for name in _KIND_COLUMNS]).T
        kinds[:, -1] *= 1e-9
        sets = (scenario._params_los, scenario._params_nlos, scenario._params_o2i)
        return Tables(
            kinds=kinds,
            correlation_m=np.array([[float(one[f"corrDist{name}"]) for name in _NAMES] for one in sets]),
            mixing=np.array([np.linalg.cholesky(_cross_correlation(one)) for one in sets]),
            los_correlation_m=_LOS_CORRELATION_M[model.scenario]
            if model.scenario != "inf"
            else 0.5 * float(scenario.clutter_size),
            max_indoor_m=float(scenario.max_2d_in),
            has_indoor_set=indoor_set,
            heights_m=heights_m,
            law=laws[..., :-1],
            los_probability=laws[:, 0, 0, :, -1],
        )


def _cross_correlation(parameters: dict[str, Any]) -> NDArray[np.float64]:
    matrix = np.eye(7)
    for i, first in enumerate(_NAMES):
        for j, second in enumerate(_NAMES):
            value = parameters.get(f"corr{first}vs{second}")
            if value is not None:
                matrix[i, j] = matrix[j, i] = float(value)
    return matrix


def _sionna_scenario(model: Tr38901, carrier_hz: float) -> Any:
    """Return Sionna's scenario object; antennas play no part in what is read from it."""
    import torch
    from sionna.phy.channel.tr38901.inf_scenario import InFScenario
    from sionna.phy.channel.tr38901.inh_scenario import InHScenario
    from sionna.phy.channel.tr38901.rma_scenario import RMaScenario
    from sionna.phy.channel.tr38901.uma_scenario import UMaScenario
    from sionna.phy.channel.tr38901.umi_scenario import UMiScenario

    from channel.antenna import UeArray
    from channel.sionna_arrays import ue_panel

    omni = ue_panel(UeArray(), carrier_hz)
    arrays: dict[str, Any] = {"ut_array": omni, "bs_array": omni, "direction": "downlink"}
    arrays["spec_version"] = model.spec_version
    if model.scenario == "inh":
        return InHScenario(carrier_hz, model.office, **arrays)
    if model.scenario == "inf":
        return InFScenario(carrier_hz, model.factory, **arrays)
    if model.scenario == "rma":
        return RMaScenario(carrier_hz, **arrays)
    scenario = {"umi": UMiScenario, "uma": UMaScenario}[model.scenario](carrier_hz, "low", **arrays)
    # The environment height of UEs above 13 m is random per link; a world that goes on takes its usual 1 m.
    scenario._sample_environment_height = lambda distance_2d, _: torch.ones_like(distance_2d)
    return scenario


def _set_topology(
    scenario: Any, cell_m: float, ue_m: float, distance_m: NDArray[np.float64], indoor: list[bool], los: list[bool]
) -> None:
    import torch

    ues = np.stack([distance_m, 0 * distance_m, 0 * distance_m + ue_m], axis=-1)[None]
    outdoors = scenario.scenario_kind not in ("inh", "inf")
    scenario.reset_topology()
    scenario.set_topology(
        ut_loc=ues,
        bs_loc=np.array([[[0.0, 0.0, cell_m]]]),
        ut_orientations=np.zeros_like(ues),
        bs_orientations=np.zeros((1, 1, 3)),
        ut_velocities=np.zeros_like(ues),
        in_state=np.array([indoor]) if outdoors else np.ones((1, len(distance_m)), bool),
        los=torch.tensor([[los]]),
        distance_2d_in=np.zeros((1, len(distance_m))) if outdoors else None,
    )


def _laws(scenario: Any, cell_m: float, ue_m: float) -> NDArray[np.float64]:
    """Return [indoor, NLOS, distance, 16 columns and the probability of line of sight] for one pair of heights."""
    num = len(_DISTANCES_M)
    los_only = getattr(scenario, "factory_scenario", "") == "hh"
    tables = []
    for indoor in (False, True):
        for los in (True, False):
            _set_topology(scenario, cell_m, ue_m, _DISTANCES_M, num * [indoor], num * [los or los_only])
            columns = [scenario.basic_pathloss, scenario.zod_offset]
            moments = (scenario.lsp_log_mean, scenario.lsp_log_std)
            columns += [moment[..., i] for moment in moments for i in _SIONNAS_ORDER]
            tables.append(np.stack([_numpy(c)[0, 0] for c in [*columns, scenario.los_probability]], axis=-1))
    return np.array(tables).reshape(2, 2, num, -1)


def _numpy(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy())

"""Mobility management at one measurement instant: layer-3 filter, event A3, radio link failure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from channel.units import db_to_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.handover import Handover

NONE, HANDOVER, REESTABLISHMENT = 0, 1, 2
"""Values of ``measure``."""

MOBILITY_DTYPE = np.dtype(
    [
        ("blocked_until_s", "f8"),  # end of the interruption
        ("bad_since_s", "f8"),  # when T310 started; NaN while it does not run
        ("last_change_s", "f8"),  # when the UE left last_cell
        ("handovers", "i8"),
        ("ping_pongs", "i8"),  # handovers back to last_cell
        ("failures", "i8"),  # radio link failures
        ("last_cell", "i4"),  # the cell before this one, -1 where there was none
        ("seen", "i4"),  # measurements since the filter started
        ("after_gap", "i4"),  # 1 while the first decision after a long gap is still to be made
    ],
    align=True,
)

# Sampling period that filterCoefficient is defined at: the intra-frequency L1 measurement period (TS 38.331 clause
# 5.5.3.2; TS 38.133 clause 9.2.5.2, FR1 without DRX).
_FILTER_PERIOD_S = 0.2

# After a longer gap the past is no guide.
_LONG_GAP_S = 1.0

# Instants are sums of slots: rounding must not cost a measurement period.
_ROUNDING_S = 1e-9

_PARAMS_DTYPE = np.dtype(
    [
        (name, "f8")
        for name in (
            "offset_db", "hysteresis_db", "time_to_trigger_s", "interruption_s", "ping_pong_s", "qout", "qin", "t310_s",
            "reestablishment_s",
        )
    ]
)  # fmt: skip


@dataclass
class MobilityState:
    """What mobility management remembers.

    Attributes:
        ue: MOBILITY_DTYPE [batch, num_ues].
        rsrp_db: filtered reference power in dBW, -inf where nothing is received, float32 [batch, num_ues, num_cells].
        entered_s: since when event A3 has held, NaN where it does not, float64 [batch, num_ues, num_cells].
    """

    ue: NDArray[Any]
    rsrp_db: NDArray[np.float32]
    entered_s: NDArray[np.float64]

    @staticmethod
    def start(batch: int, num_ues: int, num_cells: int) -> MobilityState:
        """Return the state before the first measurement."""
        ue = np.zeros((batch, num_ues), MOBILITY_DTYPE)
        ue["blocked_until_s"], ue["bad_since_s"], ue["last_change_s"], ue["last_cell"] = -np.inf, np.nan, -np.inf, -1
        shape = (batch, num_ues, num_cells)
        return MobilityState(ue, np.full(shape, -np.inf, np.float32), np.full(shape, np.nan))

    def copy(self) -> MobilityState:
        """Return an independent copy."""
        return MobilityState(**{name: array.copy() for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a checkpoint; ``MobilityState(**arrays)`` takes them back."""
        return {"ue": self.ue, "rsrp_db": self.rsrp_db, "entered_s": self.entered_s}


def measure(
    settings: Handover,
    state: MobilityState,
    serving_cell: NDArray[np.int32],
    rsrp_w: NDArray[np.float64],
    sinr: NDArray[np.float64],
    now_s: float,
    previous_s: float,
    settle: int = 1,
) -> NDArray[np.int8]:
    """Measure, and move the UEs that must move; return NONE, HANDOVER or REESTABLISHMENT, int8 [batch, num_ues].

    - Filter (TS 38.331 clause 5.5.3.2): ``F = (1 - a) F + a M`` in dB with ``a = 1 / 2^(k/4)`` every 200 ms; here
      ``1 - a_T = (1 - a)^(T / 200 ms)`` for measurements T apart, so that a step settles in the same time.
    - Event A3 (clause 5.5.4.4): ``Mn - Hys > Mp + Off`` at all measurements during the time to trigger (clause
      5.5.4.1). The strongest of the cells for which it has held so long becomes the serving cell now; data flow again
      ``interruption_s`` later. The leaving condition ends reports of cells that have triggered; a handover has
      answered those.
    - Radio link failure (clause 5.3.10): an SINR below Qout starts T310, above Qin stops it; when it expires the UE
      is re-established on the strongest cell after ``reestablishment_s``.

    Nothing is decided for a UE while it is interrupted. After a gap longer than a second and the time to trigger
    (idle air is skipped) the filter starts again as the mean of what is measured now, and after ``settle``
    measurements event A3 moves a UE at once, without interruption: it would have moved in the gap. A cell that is not
    received (power zero, negative or NaN) is never chosen; where none is, re-establishment tries the old cell again.
    An SINR of NaN counts as zero.

    Args:
        settings: parameters; with mode "off" nothing changes.
        state: updated in place.
        serving_cell: int32 [batch, num_ues], updated in place.
        rsrp_w: received reference power, on any common scale, [batch, num_ues, num_cells].
        sinr: wideband SINR from the serving cell, linear, [batch, num_ues].
        now_s: this instant.
        previous_s: the instant before it; NaN or -inf where there was none.
        settle: measurements after a long gap before anything is decided; more average out more fading.
    """
    changes = np.zeros(serving_cell.shape, np.int8)
    if settings.mode == "off":
        return changes
    gap_s = now_s - previous_s
    assert not gap_s < 0.0, f"measured at {now_s} s after {previous_s} s"
    restart = not gap_s <= max(_LONG_GAP_S, settings.time_to_trigger_s)
    new_share = 1.0 / 2.0 ** (settings.filter_coefficient / 4.0)
    weight = 1.0 if restart else 1.0 - (1.0 - new_share) ** (gap_s / _FILTER_PERIOD_S)
    _measure(
        _params(settings), now_s, weight, restart, settle, state.ue, state.rsrp_db, state.entered_s, serving_cell,
        rsrp_w, sinr, changes,
    )  # fmt: skip
    return changes


def _params(settings: Handover) -> NDArray[Any]:
    record = np.zeros(1, _PARAMS_DTYPE)
    for name in set(_PARAMS_DTYPE.names or ()) - {"qout", "qin"}:
        record[name] = getattr(settings, name)
    record["qout"], record["qin"] = db_to_linear(settings.qout_db), db_to_linear(settings.qin_db)
    return record


@numba.njit(cache=True)
def _measure(
    params: Any,
    now_s: float,
    weight: float,
    restart: bool,
    settle: int,
    ue: Any,
    rsrp_db: Any,
    entered_s: Any,
    serving_cell: Any,
    rsrp_w: Any,
    sinr: Any,
    changes: Any,
) -> None:
    p = params[0]
    batch, ues, _ = rsrp_w.shape
    for b in range(batch):
        for u in range(ues):
            row, power_db, since_s = ue[b, u], rsrp_db[b, u], entered_s[b, u]
            if restart or row.seen == 0:
                row.after_gap = row.seen > 0
                row.seen = 0
                power_db[:] = -np.inf
                since_s[:] = np.nan
                row.bad_since_s = np.nan
            row.seen += 1
            after_gap = row.after_gap == 1
            _filter(max(weight, 1.0 / row.seen) if after_gap else weight, rsrp_w[b, u], power_db)
            if now_s < row.blocked_until_s - _ROUNDING_S or (after_gap and row.seen < settle):
                continue
            row.after_gap = 0
            serving = serving_cell[b, u]
            target = _a3_target(p, now_s, 0.0 if after_gap else p.time_to_trigger_s, serving, power_db, since_s)
            if target >= 0:
                changes[b, u] = HANDOVER
                row.handovers += 1
                if target == row.last_cell and now_s - row.last_change_s < p.ping_pong_s:
                    row.ping_pongs += 1
                row.blocked_until_s = now_s if after_gap else now_s + p.interruption_s
            elif _radio_link_failed(p, now_s, sinr[b, u], row):
                changes[b, u] = REESTABLISHMENT
                row.failures += 1
                target = _strongest(power_db, serving)
                row.blocked_until_s = now_s + p.reestablishment_s
            else:
                continue
            since_s[:] = np.nan
            row.bad_since_s = np.nan
            if target != serving:
                row.last_cell, row.last_change_s = serving, now_s
                serving_cell[b, u] = target


@numba.njit(cache=True)
def _filter(weight: float, rsrp_w: Any, power_db: Any) -> None:
    for c in range(len(rsrp_w)):
        if not rsrp_w[c] > 0.0:
            power_db[c] = -np.inf
            continue
        measured_db = 10.0 * math.log10(rsrp_w[c])
        # The first measurement of a cell is its first filtered value.
        old_db = power_db[c] if power_db[c] > -np.inf else measured_db
        power_db[c] = (1.0 - weight) * old_db + weight * measured_db


@numba.njit(cache=True)
def _a3_target(p: Any, now_s: float, wait_s: float, serving: int, power_db: Any, entered_s: Any) -> int:
    """Return the strongest cell for which event A3 has held for ``wait_s``, or -1; note since when it holds."""
    target = -1
    for c in range(len(power_db)):
        if c == serving or not power_db[c] - p.hysteresis_db > power_db[serving] + p.offset_db:
            entered_s[c] = np.nan
            continue
        if math.isnan(entered_s[c]):
            entered_s[c] = now_s
        if now_s - entered_s[c] >= wait_s - _ROUNDING_S and (target < 0 or power_db[c] > power_db[target]):
            target = c
    return target


@numba.njit(cache=True)
def _radio_link_failed(p: Any, now_s: float, sinr: float, row: Any) -> bool:
    """Start or stop T310; return whether it has expired."""
    if sinr > p.qin:
        row.bad_since_s = np.nan
    elif not sinr >= p.qout and math.isnan(row.bad_since_s):
        row.bad_since_s = now_s
    return now_s - row.bad_since_s >= p.t310_s - _ROUNDING_S


@numba.njit(cache=True)
def _strongest(power_db: Any, serving: int) -> int:
    best = serving
    for c in range(len(power_db)):
        if power_db[c] > power_db[best]:
            best = c
    return best

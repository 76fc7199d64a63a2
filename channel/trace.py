"""Traces of UE positions in CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from channel.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.trajectory import Waypoints

COLUMNS = ("time_s", "ue", "x_m", "y_m")


@dataclass(frozen=True)
class TraceRow:
    """One UE at one time; ``z_m`` is NaN where the file has no such column."""

    time_s: float
    ue: int
    x_m: float
    y_m: float
    z_m: float


def read_trace(file: str) -> list[TraceRow]:
    """Return the rows of a trace, sorted by UE and time.

    Raises:
        UserError: the file is missing, a column is missing, or a value is no finite number; with its line.
    """
    path = Path(file).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = _rows(csv.DictReader(lines, skipinitialspace=True), file)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"{file}: {reason}; expected a CSV file with the columns {', '.join(COLUMNS)}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not a text file; expected CSV with the columns {', '.join(COLUMNS)}") from None
    if not rows:
        raise UserError(f"{file}: holds no rows below its header; give at least one row for each UE")
    rows.sort(key=lambda row: (row.ue, row.time_s))
    for before, after in pairwise(rows):
        if (before.ue, before.time_s) == (after.ue, after.time_s):
            raise UserError(f"{file}: UE {after.ue} is at two places at {after.time_s:g} s; remove one of the rows")
    return rows


def _rows(reader: csv.DictReader[str], file: str) -> list[TraceRow]:
    found = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise UserError(
            f"{file}: column {missing[0]!r} is missing; expected {', '.join(COLUMNS)} and perhaps z_m, "
            f"got {', '.join(found) or 'nothing'}"
        )
    reader.fieldnames = found
    return [_row(row, f"{file}: line {reader.line_num}") for row in reader]


def _row(row: dict[str, str], where: str) -> TraceRow:
    values = {}
    for name in (*COLUMNS, *(("z_m",) if "z_m" in row else ())):
        try:
            values[name] = float(row[name])
        except (TypeError, ValueError):
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise UserError(f"{where}: {name} is {row[name]!r}; expected a number")
    if values["ue"] < 0 or values["ue"] != int(values["ue"]):
        raise UserError(f"{where}: ue is {row['ue']!r}; expected 0, 1, 2, ...")
    return TraceRow(values["time_s"], int(values["ue"]), values["x_m"], values["y_m"], values.get("z_m", math.nan))


def waypoints(rows: Sequence[TraceRow], start_m: NDArray[np.float64], file: str) -> Waypoints:
    """Return the motion of the first ``len(start_m)`` UEs; ``start_m`` [num_ues, 3] gives the heights not in the rows.

    Raises:
        UserError: a UE has no row.
    """
    import numpy as np

    from channel.trajectory import Waypoints

    of_ue: list[list[TraceRow]] = [[] for _ in start_m]
    for row in rows:
        if row.ue < len(of_ue):
            of_ue[row.ue].append(row)
    missing = [ue for ue, mine in enumerate(of_ue) if not mine]
    if missing:
        raise UserError(
            f"{file}: has no row for UE {missing[0]}, but ues.count is {len(start_m)}; give each of UEs 0 to "
            f"{len(start_m) - 1} a row or lower ues.count"
        )
    longest = max(map(len, of_ue))
    time_s = np.full((len(start_m), longest), np.inf)
    point_m = np.zeros((len(start_m), longest, 3))
    for ue, mine in enumerate(of_ue):
        time_s[ue, : len(mine)] = [row.time_s for row in mine]
        point_m[ue, : len(mine)] = [(row.x_m, row.y_m, row.z_m) for row in mine]
        point_m[ue, len(mine) :] = point_m[ue, len(mine) - 1]
    height_m = np.broadcast_to(start_m[:, None, 2], point_m.shape[:2])
    point_m[..., 2] = np.where(np.isnan(point_m[..., 2]), height_m, point_m[..., 2])
    return Waypoints(time_s, point_m)

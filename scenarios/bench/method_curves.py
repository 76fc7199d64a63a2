"""What a learning run showed round by round, and how runs over several seeds compare: tables, files and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.metrics.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TRAILING = 5
"""With few UEs a round, accuracy jumps from round to round: what is compared is the mean of this many evaluations."""

CONFIDENCE = 0.95
Axis = Literal["time_s", "payload_bytes", "round"]
AXES: dict[Axis, str] = {"time_s": "at equal time", "payload_bytes": "at equal bytes", "round": "at equal rounds"}
_TICKS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
_ROUNDS, _FIELDS = "rounds.csv", ("time_s", "payload_bytes", "accuracy", "own_accuracy")

Curves = Mapping[str, Mapping[int, "Curve"]]
"""By method and seed; the first method is the baseline."""


@dataclass(frozen=True)
class Run:
    """Which run a curve is of; ``settings`` is a fingerprint of its scenario."""

    group: str
    method: str
    seed: int
    settings: str


@dataclass(frozen=True)
class Curve:
    """One run, an entry for each round.

    Attributes:
        time_s: virtual time at the round's end, s.
        payload_bytes: bytes of all payloads so far, down and up.
        accuracy: of the global model on the test set.
        own_accuracy: mean over UEs of their personal models' accuracy at the end, each on its own mix of classes; nan
            where there are none.
    """

    time_s: tuple[float, ...]
    payload_bytes: tuple[int, ...]
    accuracy: tuple[float, ...]
    own_accuracy: float = float("nan")

    def along(self, axis: Axis) -> NDArray[np.float64]:
        """Return what the rounds had cost by their ends, [num_rounds]."""
        return np.arange(1, len(self.accuracy) + 1.0) if axis == "round" else np.array(getattr(self, axis), np.float64)

    def at(self, axis: Axis, budget: float) -> float:
        """Return the mean accuracy of the last ``TRAILING`` rounds that are done within the budget; nan before any."""
        done = int(np.searchsorted(self.along(axis), budget, side="right"))
        return float(np.mean(self.accuracy[max(0, done - TRAILING) : done])) if done else float("nan")

    def append_to(self, out: Path, run: Run) -> None:
        """Add the run's rounds to the table of all runs."""
        path = out / _ROUNDS
        is_new = not path.exists()
        key = (run.group, run.method, run.seed, run.settings)
        own = [self.own_accuracy] * len(self.accuracy)
        rows = zip(self.time_s, self.payload_bytes, self.accuracy, own, strict=True)
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(("group", "method", "seed", "settings", "round", *_FIELDS))
            writer.writerows([(*key, number, *row) for number, row in enumerate(rows, 1)])


def read_runs(out: Path) -> dict[Run, Curve]:
    """Return the runs in the folder's table."""
    path, rows = out / _ROUNDS, dict[Run, list[dict[str, str]]]()
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            run = Run(row["group"], row["method"], int(row["seed"]), row["settings"])
            rows.setdefault(run, []).append(row)
    return {
        run: Curve(
            tuple(float(row["time_s"]) for row in each),
            tuple(int(row["payload_bytes"]) for row in each),
            tuple(float(row["accuracy"]) for row in each),
            float(each[-1]["own_accuracy"]),
        )
        for run, each in rows.items()
    }


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % confidence interval, t s / sqrt(n) with n - 1 degrees of freedom.

    The interval of one value is nan.
    """
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return float(np.mean(values)), float("nan")
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / float(np.sqrt(count))


def table(curves: Curves, rounds: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the comparison as lines and as rows of numbers.

    Every seed's budget is what its own baseline needed for ``rounds`` rounds. The difference to the
    baseline is that of runs with equal seeds, so its interval does not contain what data and participants do to both.
    """
    baseline = next(iter(curves.values()))
    budgets = {axis: {seed: curve.along(axis)[rounds - 1] for seed, curve in baseline.items()} for axis in AXES}
    rows = [{"method": method, **_row(runs, baseline, budgets)} for method, runs in curves.items()]
    time_s, sent = (float(np.mean(list(budgets[axis].values()))) for axis in ("time_s", "payload_bytes"))
    width = max(len(method) for method in curves)
    lines = [
        f"{rounds} rounds of {next(iter(curves))}: {time_s:.3g} s, {sent / 1e6:.3g} MB. Accuracy in %, mean of the "
        f"last {TRAILING} rounds, {CONFIDENCE:.0%} t-interval (difference to it, by seed)",
        f"{'':<{width}}" + "".join(f"{title:>33}" for title in AXES.values()) + f"{'kB/round':>10}{'ms/round':>10}",
    ]
    for row in rows:
        cells = [
            f"{_percent(row[f'{axis}'])} +- {_percent(row[f'{axis}_ci'])} "
            f"({_percent(row[f'{axis}_gain'], '+')} +- {_percent(row[f'{axis}_gain_ci'])})"
            for axis in AXES
        ]
        costs = f"{row['bytes_per_round'] / 1e3:>10.1f}{row['s_per_round'] * 1e3:>10.1f}"
        own = f"   own models {_percent(row['own_accuracy'])} +- {_percent(row['own_accuracy_ci'])}"
        end = costs + (own if np.isfinite(row["own_accuracy"]) else "")
        lines.append(f"{row['method']:<{width}}" + "".join(f"{cell:>33}" for cell in cells) + end)
    if any(row["ended_early"] for row in rows):
        early = ", ".join(row["method"] for row in rows if row["ended_early"])
        lines.append(f"Stopped before time or bytes were spent, and taken as they were then: {early}")
    return lines, rows


def _row(
    runs: Mapping[int, Curve], baseline: Mapping[int, Curve], budgets: Mapping[Axis, Mapping[int, float]]
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for axis, budget in budgets.items():
        values = {seed: curve.at(axis, budget[seed]) for seed, curve in runs.items()}
        gains = [value - baseline[seed].at(axis, budget[seed]) for seed, value in values.items()]
        row[axis], row[f"{axis}_ci"] = mean_interval(list(values.values()))
        row[f"{axis}_gain"], row[f"{axis}_gain_ci"] = mean_interval(gains)
    for name, axis in (("bytes_per_round", "payload_bytes"), ("s_per_round", "time_s")):
        row[name] = float(np.mean([curve.along(axis)[-1] / len(curve.accuracy) for curve in runs.values()]))
    row["own_accuracy"], row["own_accuracy_ci"] = mean_interval([curve.own_accuracy for curve in runs.values()])
    row["ended_early"] = any(
        curve.along(axis)[-1] < budget[seed] for axis, budget in budgets.items() for seed, curve in runs.items()
    )
    return row


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if np.isfinite(value) else "-"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a table as CSV: accuracies and differences as parts of 1."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def draw(curves: Curves, families: Mapping[str, Sequence[str]], rounds: int, title: str, path: Path) -> None:
    """Draw accuracy over virtual time and over payload bytes, a row of panels for each family beside the baseline.

    Lines are means over seeds of what ``Curve.at`` gives, bands their confidence intervals.
    """
    from matplotlib.figure import Figure

    from ran.metrics.figure_style import save, styled

    baseline, *others = curves
    shown, axis_of_column = families or {"": others}, (*AXES,)[:2]
    with styled():
        figure = Figure(figsize=(11, 3.1 * len(shown)))
        panels = figure.subplots(len(shown), 2, squeeze=False, sharey=True)
        for (family, methods), pair in zip(shown.items(), panels, strict=True):
            for axes, axis in zip(pair, axis_of_column, strict=True):
                _panel(axes, {name: curves[name] for name in (baseline, *methods)}, axis, rounds)
            pair[0].set_ylabel("test accuracy")
            pair[0].set_title(family)
            pair[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        for axes, label in zip(panels[-1], ("virtual time, s", "payload down and up, MB"), strict=True):
            axes.set_xlabel(label)
        count = len(next(iter(curves.values())))
        figure.suptitle(f"{title}: mean of the last {TRAILING} rounds and {CONFIDENCE:.0%} interval over {count} seeds")
        save(figure, path, 130)


def _panel(axes: Axes, curves: Curves, axis: Axis, rounds: int) -> None:
    from ran.metrics.figure_style import CATEGORIES, INK

    baseline = next(iter(curves))
    end = float(np.mean([curve.along(axis)[rounds - 1] for curve in curves[baseline].values()]))
    scale = 1e-6 if axis == "payload_bytes" else 1.0
    for index, (name, runs) in enumerate(curves.items()):
        first = max(curve.along(axis)[0] for curve in runs.values())
        last = min(end, *(curve.along(axis)[-1] for curve in runs.values()))
        grid = np.linspace(first, max(first, last), 200)
        points = [mean_interval([curve.at(axis, at) for curve in runs.values()]) for at in grid]
        mean, width = np.array(points).T
        color = INK if name == baseline else CATEGORIES[(0, 6, 3, 5, 1)[(index - 1) % 5]]
        low, high = np.clip((mean - width, mean + width), 1e-3, 1 - 1e-3)
        axes.plot(scale * grid, mean, color=color, label=name, zorder=3, linestyle="--" if name == baseline else "-")
        axes.fill_between(scale * grid, low, high, color=color, alpha=0.13, linewidth=0)
    axes.set_xlim(0, scale * end)
    # Between 95 and 98 % lies as much learning as between 50 and 72 %.
    axes.set_yscale("logit")
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.05, 0.99)

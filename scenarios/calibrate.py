"""`airtune calibrate`: our statistics beside the companies' curves of R1-165974 and beside closed forms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from channel.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.calibration import LargeScaleMetrics
    from channel.stochastic_geometry import CoverageSamples

DECILES = np.arange(10, 100, 10)
WIDENED_DB = 1.0
PPP_TOLERANCE = 0.015
_FILE = "calibration_38901_6ghz.json"
_CARRIER_HZ = 6e9
# Our name, the reference's name and what the axes say.
_METRICS = (
    ("coupling_gain_db", "coupling_loss", "coupling gain (dB)"),
    ("sir_db", "wideband_sir", "wideband SIR (dB)"),
    ("sinr_db", "geometry_sinr", "wideband SINR (dB)"),
)
_PPP_DB = np.arange(-10, 16, 1.0)
_PPP_ROWS = (("nearest", -10.0), ("nearest", 0.0), ("nearest", 10.0), ("strongest", 0.0), ("strongest", 10.0))


@dataclass(frozen=True)
class Curve:
    """One company's cumulative distribution: values in dB at percentiles, [num_points] each."""

    company: str
    percentile: NDArray[np.float64]
    value_db: NDArray[np.float64]

    def at(self, percentile: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values at some percentiles, interpolated linearly."""
        return np.asarray(np.interp(percentile, self.percentile, self.value_db))


@dataclass(frozen=True)
class Check:
    """One line of a table: what, ours, the range that it should lie in, and whether it does."""

    what: str
    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the value lies in its range."""
        return self.low <= self.value <= self.high


def calibrate_large_scale(
    scenario: Literal["umi", "uma"],
    out: Path,
    say: Callable[[str], None],
    *,
    carrier_hz: float = _CARRIER_HZ,
    num_ues: int = 3420,
    spec_version: Literal["19.2", "16.1"] = "16.1",
    reference: Path | None = None,
    seed: int = 1,
) -> bool:
    """Run the large-scale calibration, print its table, draw it to ``out``; return whether every decile holds.

    Args:
        scenario: ``umi`` or ``uma``.
        out: PNG file.
        say: prints a line.
        carrier_hz: carrier frequency; companies' curves exist for 6 GHz only.
        num_ues: least number of UEs.
        spec_version: of TR 38.901.
        reference: the companies' curves; by default found by ``find_reference``.
        seed: of the random streams.

    Raises:
        UserError: the reference file is missing or of another kind.
    """
    from channel.calibration import large_scale_calibration

    path = find_reference(reference) if carrier_hz == _CARRIER_HZ else None
    curves, left_out = read_reference(path, scenario) if path else ({}, [])
    metrics = large_scale_calibration(
        scenario, carrier_hz=carrier_hz, num_ues=num_ues, spec_version=spec_version, seed=seed
    )
    name = {"umi": "UMi", "uma": "UMa"}[scenario]
    title = f"TR 38.901 v{spec_version} {name}, {carrier_hz / 1e9:g} GHz, {len(metrics.sir_db)} UEs"
    say(f"{title}: 19 sites x 3 sectors, wraparound, 80 % indoors (half low, half high loss), no fast fading")
    if not curves:
        say("without the companies' curves (6 GHz only; --reference FILE): ours alone")
    for company in left_out:
        say(f"left out: {company}'s coupling gain, which reaches above 0 dB and so cannot be one")
    checks = _deciles(metrics, curves)
    print_checks(checks, say, digits=1)
    draw_large_scale(metrics, curves, title, out)
    return all(check.holds for check in checks)


def find_reference(given: Path | None) -> Path | None:
    """Return the file of companies' curves: as given, in $AIRTUNE_SHARED/data, in ../shared/data, or None.

    Raises:
        UserError: a given file does not exist.
    """
    if given is not None:
        if not given.is_file():
            raise UserError(f"--reference {given}: no such file; expected a copy of {_FILE}")
        return given
    shared = os.environ.get("AIRTUNE_SHARED")
    folders = [Path(shared)] if shared else []
    found = [folder / "data" / _FILE for folder in [*folders, Path("..") / "shared"]]
    return next((path for path in found if path.is_file()), None)


def read_reference(path: Path, scenario: str) -> tuple[dict[str, list[Curve]], list[str]]:
    """Return the companies' curves by our name of the metric, and the companies whose coupling gain was left out.

    A coupling gain above 0 dB is impossible; a company that has one filed another metric there.

    Raises:
        UserError: the file is not such a collection.
    """
    name = {"umi": "UMi-6GHz", "uma": "UMa-6GHz"}[scenario]
    try:
        metrics = json.loads(path.read_text())["scenarios"][name]["metrics"]
        curves = {
            ours: [
                Curve(company, np.array(metrics[theirs]["cdf_percentiles"], float), np.array(values, float))
                for company, values in metrics[theirs]["data"].items()
            ]
            for ours, theirs, _ in _METRICS
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a collection of 3GPP calibration curves ({error!r}); expected {_FILE}"
        ) from None
    left_out = [curve.company for curve in curves["coupling_gain_db"] if curve.at(DECILES).max() > 0]
    curves["coupling_gain_db"] = [curve for curve in curves["coupling_gain_db"] if curve.company not in left_out]
    return curves, left_out


def _deciles(metrics: LargeScaleMetrics, curves: dict[str, list[Curve]]) -> list[Check]:
    """Return a check per metric and decile; without curves the range is everything."""
    checks = []
    for name, _, label in _METRICS:
        ours = np.percentile(getattr(metrics, name), DECILES)
        theirs = np.array([curve.at(DECILES) for curve in curves.get(name, ())])
        low = theirs.min(axis=0) - WIDENED_DB if len(theirs) else np.full(len(DECILES), -np.inf)
        high = theirs.max(axis=0) + WIDENED_DB if len(theirs) else np.full(len(DECILES), np.inf)
        checks += [
            Check(f"{label.removesuffix(' (dB)'):<13} {decile:2d} %", *map(float, row))
            for decile, *row in zip(DECILES, ours, low, high, strict=True)
        ]
    return checks


def print_checks(checks: list[Check], say: Callable[[str], None], *, digits: int) -> None:
    """Print a table, one check to a line, and how many hold."""

    def shown(value: float) -> str:
        return f"{value:9.{digits}f}"

    say(f"{'':<19} {'ours':>9}   {'lowest':>9} {'highest':>9}")
    for check in checks:
        bounded = np.isfinite(check.low)
        limits = f"{shown(check.low)} {shown(check.high)}  {'holds' if check.holds else 'FAILS'}" if bounded else ""
        say(f"{check.what:<19} {shown(check.value)}   {limits}".rstrip())
    if np.isfinite(checks[0].low):
        say(f"{sum(check.holds for check in checks)} of {len(checks)} hold")


def draw_large_scale(metrics: LargeScaleMetrics, curves: dict[str, list[Curve]], title: str, out: Path) -> None:
    """Draw our three distributions over the companies' into a PNG file."""
    from matplotlib.figure import Figure

    from ran.metrics.figure_style import CENTRAL, DOWNLINK, save, styled

    with styled():
        figure = Figure(figsize=(11.0, 3.9))
        for axes, (name, _, label) in zip(figure.subplots(1, 3, sharey=True), _METRICS, strict=True):
            for index, curve in enumerate(curves.get(name, ())):
                axes.plot(
                    curve.value_db, curve.percentile, color="#B4B4B4", lw=0.8,
                    label=f"{len(curves[name])} companies" if index == 0 else None,
                )  # fmt: skip
            if name in curves:
                theirs = np.array([curve.at(DECILES) for curve in curves[name]])
                low, high = theirs.min(axis=0) - WIDENED_DB, theirs.max(axis=0) + WIDENED_DB
                axes.hlines(DECILES, low, high, color=CENTRAL, lw=1.4, label="their range ± 1 dB", zorder=3)
            ours = np.sort(getattr(metrics, name))
            axes.plot(ours, 100 * (np.arange(len(ours)) + 0.5) / len(ours), color=DOWNLINK, label="AirTune", zorder=4)
            axes.set(xlabel=label, xlim=(np.percentile(ours, 0.5) - 4, np.percentile(ours, 99.5) + 4), ylim=(0, 100))
            axes.set_yticks(range(0, 101, 10))
        figure.axes[0].set_ylabel("UEs below (%)")
        figure.axes[0].legend(loc="lower right", handlelength=1.0, borderaxespad=0.1)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=11)
        save(figure, out, dpi=130)


def calibrate_ppp(out: Path, say: Callable[[str], None], *, drops: int = 2000, seed: int = 1) -> bool:
    """Print coverage of Poisson networks beside its closed forms, draw it to ``out``; return whether all rows hold."""
    from channel.stochastic_geometry import nearest_coverage, simulate_coverage, strongest_coverage

    samples = simulate_coverage(drops=drops, seed=seed)
    say(
        f"Poisson network, exponent 4, Rayleigh fading, no noise, {len(samples.nearest)} UEs: P(SIR > T) over its "
        f"closed form, to hold within {100 * PPP_TOLERANCE:g} %"
    )
    checks = []
    for association, threshold_db in _PPP_ROWS:
        threshold = 10 ** (threshold_db / 10)
        exact = (nearest_coverage if association == "nearest" else strongest_coverage)(threshold)
        ratio = samples.coverage(association, threshold) / exact  # type: ignore[arg-type]
        what = f"{association:<9} {threshold_db:4g} dB"
        checks.append(Check(what, ratio, 1 - PPP_TOLERANCE, 1 + PPP_TOLERANCE))
    print_checks(checks, say, digits=3)
    draw_ppp(samples, out)
    return all(check.holds for check in checks)


def draw_ppp(samples: CoverageSamples, out: Path) -> None:
    """Draw coverage over the threshold, simulated and in closed form, into a PNG file."""
    from matplotlib.figure import Figure

    from channel.stochastic_geometry import nearest_coverage, strongest_coverage
    from ran.metrics.figure_style import CENTRAL, DOWNLINK, save, styled

    with styled():
        figure = Figure(figsize=(6.4, 4.2))
        axes = figure.subplots()
        for association, form, colour, lowest_db in (
            ("nearest", nearest_coverage, DOWNLINK, -10),
            ("strongest", strongest_coverage, CENTRAL, 0),  # its closed form begins there
        ):
            thresholds_db = _PPP_DB[lowest_db <= _PPP_DB]
            exact = [form(10 ** (db / 10)) for db in thresholds_db]
            drawn = [samples.coverage(association, 10 ** (db / 10)) for db in _PPP_DB]  # type: ignore[arg-type]
            axes.plot(thresholds_db, exact, color=colour, label=f"{association}, closed form")
            axes.plot(_PPP_DB, drawn, "o", color=colour, mfc="white", label=f"{association}, AirTune")
        axes.set(xlabel="threshold T (dB)", ylabel="P(SIR > T)", ylim=(0, 1.03), title="Coverage of a Poisson network")
        axes.legend()
        save(figure, out, dpi=130)

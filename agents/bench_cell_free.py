"""Power allocation in cell-free networks: ICGNN beside the max-min optimum, its passes untrained, and plain rules.

Drops of street canyons over 1 km^2. Training saw 10 to 60 APs with 1, 2 or 4 antennas and 3 to 20 users, so that only
the first size is one of its own; the last two have larger APs and another propagation. A table, CSV and a figure; some
minutes. The 5th percentile is over all users and drops. The optimum's is low where one user bounds all, since bisection
then leaves the others what they happen to have; so the least user of every drop is compared, too. All allocate one drop
after the other, on one thread; times are the thread's own.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.gnn.cell_free import CellFree, drops
from agents.gnn.cell_free_network import SHIPPED, CellFreeNetwork
from agents.gnn.max_min import max_min
from agents.gnn.network import load_as
from channel.seeding import stream
from ran.threads import torch_threads


@dataclass(frozen=True)
class Size:
    """A kind of drops."""

    aps: int
    users: int
    antennas: tuple[int, ...] = (1, 2, 4)
    propagation: Literal["umi", "three_slope"] = "umi"

    def __str__(self) -> str:
        """Return it as a label."""
        number = "/".join(map(str, self.antennas))
        antennas = "" if number == "1/2/4" else f", {number} antenna" + "s" * (number != "1")
        return f"{self.aps} x {self.users}" + antennas + (", three slopes" if self.propagation != "umi" else "")


SIZES = (
    Size(40, 10), Size(25, 2), Size(8, 6), Size(40, 25), Size(100, 20), Size(120, 30), Size(70, 15, (8,)),
    Size(100, 20, (1,), "three_slope"),
)  # fmt: skip
SHOWN = Size(100, 20)
DROPS = 20
OPTIMUM, NETWORK = "max-min bisection", "ICGNN"


def compare(write: Callable[[str], object], out: Path, *, seed: int = 0) -> None:
    """Allocate power in fresh drops by every rule, and write spectral efficiencies beside the optimum's, and times."""
    rules = _rules()
    found = dict[Size, dict[str, Outcome]]()
    write(f"{'APs x users':36}{'rule':24}{'5 %':>8}{'ratio':>8}{'least':>8}{'worst':>8}{'ms':>9}")
    for size in SIZES:
        key = (size.aps, size.users, *size.antennas, size.propagation)
        problem = drops(
            DROPS, size.aps, size.users, stream(seed, "bench cell-free", *key),
            antennas=size.antennas, propagation=size.propagation,
        )  # fmt: skip
        with torch_threads(1), torch.no_grad():
            found[size] = {name: _outcome(rule, problem) for name, rule in rules.items()}
        for name in rules:
            write(
                f"{size!s:36}{name:24}"
                + "".join(f"{v:{w}}" for v, w in zip(_line(found[size], name), _FORMATS, strict=True))
            )
    out.mkdir(parents=True, exist_ok=True)
    with (out / "cell_free.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "rule", "se_5_percent", "over_optimum", "least_over_optimum", "worst_drop", "ms"])
        writer.writerows([str(size), name, *_line(found[size], name)] for size in SIZES for name in rules)
    _draw(found, out / "cell_free.png")


_FORMATS = ("8.3f", "8.3f", "8.3f", "8.3f", "9.2f")


@dataclass(frozen=True)
class Outcome:
    """Spectral efficiencies of all drops' users, [DROPS, K], and the median time of an allocation."""

    rate: NDArray[np.float64]
    time_ms: float


def _rules() -> dict[str, Callable[[CellFree], Tensor]]:
    """Return allocations by name, the optimum first."""
    learned = load_as(SHIPPED, CellFreeNetwork)
    passes = len(learned.passes)
    return {
        OPTIMUM: max_min,
        NETWORK: partial(_last, learned),
        **{f"untrained, {n} passes": partial(_last, CellFreeNetwork(n, width=1)) for n in (passes, 30)},
        "fractional power": partial(CellFree.fractional, exponent=0.5),
        "equal power": CellFree.equal,
    }


def _last(network: CellFreeNetwork, problem: CellFree) -> Tensor:
    return network(problem)[-1]


def _outcome(rule: Callable[[CellFree], Tensor], problem: CellFree) -> Outcome:
    rates, times_ms = [], []
    for index in range(len(problem.signal)):
        one = CellFree(problem.signal[index], problem.gain[index], problem.present[index])
        start_s = time.thread_time()
        amplitude = rule(one)
        times_ms.append(1e3 * (time.thread_time() - start_s))
        rates.append(one.to(torch.float64).spectral_efficiency(amplitude.double()).numpy())
    return Outcome(np.array(rates), float(np.median(times_ms)))


def _line(found: dict[str, Outcome], name: str) -> tuple[float, ...]:
    """Return the users' 5th percentile, over the optimum's; the drops' least over its, in the mean and at worst; ms."""
    mine, best = found[name].rate, found[OPTIMUM].rate
    least = mine.min(-1) / best.min(-1)
    low = float(np.percentile(mine, 5))
    return low, low / float(np.percentile(best, 5)), float(least.mean()), float(least.min()), found[name].time_ms


def _draw(found: dict[Size, dict[str, Outcome]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    for name, outcome in found[SHOWN].items():
        rate = np.sort(outcome.rate.ravel())
        style: dict[str, Any] = {"color": "k", "lw": 2.5, "alpha": 0.6} if name == OPTIMUM else {}
        left.plot(rate, np.linspace(0, 1, len(rate)), label=f"{name}: {np.percentile(rate, 5):.2f}", **style)
    left.axhline(0.05, color="0.4", lw=0.8, ls=":")
    left.set(
        xlabel="spectral efficiency of a user, bit/s/Hz", ylabel="part of users below", ylim=(0, 1), xlim=(0, None)
    )
    left.set_title(f"{SHOWN.aps} APs, {SHOWN.users} users, {DROPS} drops")
    left.legend(title="5th percentile", fontsize=8, loc="upper left")
    labels, where = [str(size).replace(", ", "\n") for size in found], np.arange(len(found))
    for name in list(found[SHOWN])[1:]:
        right.plot(where, [_line(found[size], name)[2] for size in found], "o-", ms=4, lw=0.8, label=name)
    right.axhline(1.0, color="k", lw=2.5, alpha=0.6)
    right.axhline(0.95, color="0.4", lw=0.8, ls=":")
    right.set_xticks(where, labels, fontsize=7)
    right.set(xlabel="APs x users", ylabel="least SE of a drop over the optimum's, mean", ylim=(0, 1.05))
    right.legend(fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=130)

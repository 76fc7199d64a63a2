"""How figures look: one style, colours that colour-blind readers can tell apart, units chosen to fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.metrics.files import replacing
from ran.metrics.text import PREFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

# Okabe & Ito's palette: one colour means one thing in every figure.
DOWNLINK = "#0072B2"
UPLINK = "#009E73"
COMPUTE = "#E69F00"
CENTRAL = "#D55E00"
INK = "#222222"
FAINT = "#8A8A8A"
# Paul Tol's muted scheme, for categories without a meaning of their own, and how far it goes.
CATEGORIES = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB",
)  # fmt: skip
SEQUENTIAL = "viridis"

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.4,
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style within the block, whatever the user's own matplotlibrc says."""
    import matplotlib as mpl

    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, "backend": "agg"}):
        yield


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG file, atomically; equal figures give equal bytes."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})


def fitting(values: ArrayLike, unit: str) -> tuple[NDArray[np.float64], str]:
    """Return values with the decimal prefix that suits the largest (seconds grow no kilo), and the unit so prefixed.

    >>> fitting([1500.0, 20.0], "B")
    (array([1.5 , 0.02]), 'kB')
    """
    array = np.asarray(values, dtype=np.float64)
    finite = np.abs(array[np.isfinite(array)])
    largest = float(finite.max()) if finite.size else 0.0
    larger = () if unit == "s" else PREFIXES[:3]
    prefixes = (*larger, *PREFIXES[3:])
    factor, prefix = next((pair for pair in prefixes if largest >= 0.5 * pair[0]), (1.0, ""))
    return array / factor, prefix + unit


def say_empty(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, transform=axes.transAxes)

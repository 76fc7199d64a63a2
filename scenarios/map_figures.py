"""The pictures of `airtune map`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ran.metrics.figure_style import CATEGORIES, CENTRAL, DOWNLINK, FAINT, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from scenarios.map import Coverage, Walk
    from scenarios.schema import Scenario

_NOTHING = "#F1EFEA"
_SMOOTHING_M = 5.0


def coverage_figure(scenario: Scenario, found: Coverage) -> Figure:
    """Return path gain, SINR and best server side by side, on buildings and with the sites marked."""
    from matplotlib.figure import Figure

    size = np.ptp(found.y_m) / np.ptp(found.x_m)
    figure = Figure(figsize=(17.5, 2.2 + 4.9 * float(size)))
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain_db, sinr_db = 10 * np.log10(found.path_gain.max(axis=0)), 10 * np.log10(found.sinr)
    gain_db[~np.isfinite(gain_db)], sinr_db[found.server < 0] = np.nan, np.nan
    _field(panels[0], found, gain_db, "Path gain of the best server")
    _field(panels[1], found, sinr_db, "SINR, all cells transmitting")
    _servers(panels[2], found)
    cells_m = _cells(scenario)
    for panel in panels:
        panel.plot(cells_m[:, 0], cells_m[:, 1], "^", color=CENTRAL, markeredgecolor="white", markersize=10, zorder=5)
        panel.set_xlabel("east (m)")
    panels[0].set_ylabel("north (m)")
    figure.suptitle(f"{_title(scenario, found)}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def walk_figure(scenario: Scenario, found: Walk) -> Figure:
    """Return received power along the walk: every step thin, its 5 m mean thick, of the strongest cells."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.4))
    axes = figure.subplots()
    power_mw = 10 ** (found.power_dbm / 10)
    for rank, cell in enumerate(np.argsort(-power_mw.mean(axis=0), kind="stable")[:3]):
        if power_mw[:, cell].max() == 0:
            continue
        colour = (DOWNLINK, CENTRAL, FAINT)[rank]
        heard = power_mw[:, cell] > 0
        axes.plot(
            found.distance_m, np.where(heard, found.power_dbm[:, cell], np.nan), color=colour, linewidth=0.7, alpha=0.45
        )
        mean_dbm = 10 * np.log10(_running_mean(power_mw[:, cell], heard, found.distance_m))
        axes.plot(found.distance_m, mean_dbm, color=colour, linewidth=2.2, label=f"cell {cell}, 5 m mean")
    (x0, y0), (x1, y1) = found.position_m[0], found.position_m[-1]
    axes.set_title(f"{scenario.name}: a UE walks from ({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f}) m")
    axes.set_xlabel("distance walked (m)")
    axes.set_ylabel("received power (dBm)")
    axes.set_xlim(0.0, found.distance_m[-1])
    axes.legend(loc="best")
    return figure


def _running_mean(
    power: NDArray[np.float64], heard: NDArray[np.bool_], distance_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean over those points within 2.5 m where anything is heard, NaN where nothing is, [num_points]."""
    step_m = distance_m[1] - distance_m[0] if len(distance_m) > 1 else _SMOOTHING_M
    box = np.ones(min(len(power), round(_SMOOTHING_M / step_m)))
    count = np.convolve(heard, box, mode="same")
    return np.where(heard, np.convolve(power, box, mode="same") / np.maximum(count, 1.0), np.nan)


def _field(axes: Axes, found: Coverage, value_db: NDArray[np.float64], title: str) -> None:
    """Draw a field of values over the ground with its colour bar, which leaves out the rarest 1 % at either end."""
    from matplotlib import colormaps

    span = np.nanpercentile(value_db, [1, 99]) if np.isfinite(value_db).any() else (0.0, 1.0)

    _background(axes, found)
    colours = colormaps[SEQUENTIAL].with_extremes(bad=(0, 0, 0, 0))
    image = axes.imshow(
        value_db, origin="lower", extent=_extent(found.x_m, found.y_m), cmap=colours, vmin=span[0], vmax=span[1],
        interpolation="nearest", zorder=2,
    )  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=35, pad=0.02, extend="both")
    bar.set_label("dB")
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes.set_title(title)


def _servers(axes: Axes, found: Coverage) -> None:
    """Draw the cell of largest gain, one colour each; a colour comes again where cells outnumber colours."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    _background(axes, found)
    colours = CATEGORIES[:-1]
    num_cells = len(found.path_gain)
    shade = np.where(found.server >= 0, found.server % len(colours), np.nan)
    used = min(num_cells, len(colours))
    palette = ListedColormap(list(colours[:used])).with_extremes(bad=(0, 0, 0, 0))
    image = axes.imshow(
        shade, origin="lower", extent=_extent(found.x_m, found.y_m), cmap=palette,
        norm=BoundaryNorm(np.arange(used + 1) - 0.5, used), interpolation="nearest", zorder=2,
    )  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=35, pad=0.02)
    bar.set_ticks(list(range(used)))
    bar.set_label("cell" if num_cells <= used else f"cell, modulo {used}")
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes.set_title("Best server")


def _background(axes: Axes, found: Coverage) -> None:
    """Draw the ground where nothing is received, and buildings, the higher the darker."""
    from matplotlib import colormaps

    axes.set_facecolor(_NOTHING)
    axes.grid(visible=False)
    axes.set_aspect("equal")
    if found.roof_m is None:
        return
    height = np.where(found.roof_m > 0.5, np.sqrt(found.roof_m.clip(0)), np.nan)
    if np.isfinite(height).any():
        colours = colormaps["Greys"].with_extremes(bad=(0, 0, 0, 0))
        axes.imshow(
            height, origin="lower", extent=_extent(found.roof_x_m, found.roof_y_m), cmap=colours,
            vmin=-0.6 * np.nanmax(height), vmax=1.5 * np.nanmax(height), interpolation="nearest", zorder=3,
        )  # fmt: skip


def _extent(x_m: NDArray[np.float64], y_m: NDArray[np.float64]) -> tuple[float, float, float, float]:
    half_x, half_y = (x_m[1] - x_m[0]) / 2, (y_m[1] - y_m[0]) / 2
    return (x_m[0] - half_x, x_m[-1] + half_x, y_m[0] - half_y, y_m[-1] + half_y)


def _cells(scenario: Scenario) -> Any:
    """Return horizontal positions of the cells, [num_cells, 2]."""
    from scenarios.build import build_world

    return build_world(scenario).geometry.cell_position_m[:, :2]


def _title(scenario: Scenario, found: Coverage) -> str:
    usable = np.isfinite(found.path_gain).all(axis=0)
    served = np.mean(found.server[usable] >= 0)
    channel = scenario.channel
    place = getattr(channel, "scene", None) or getattr(channel, "scenario", None)
    air = f"{channel.name.replace('_', ' ')}{f' ({place})' if place else ''}"
    reached = f"{100 * served:.0f} % of the ground is reached"
    return f"{scenario.name}: {air}, {scenario.radio.carrier_hz / 1e9:g} GHz; {reached}"

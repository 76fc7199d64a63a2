"""`airtune map`: path gain, SINR and best server all over a scenario's ground, and along a walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.antenna import AntennaArray
from channel.errors import UserError
from channel.ray_traced import RayTraced
from channel.seeding import stream_key
from channel.tr38901 import MIN_DISTANCE_M, Tr38901
from channel.units import dbm_to_watt
from scenarios.build import build_world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from ran.world import World
    from scenarios.schema import Scenario

_GRID_POINTS = 60
_UES_AT_ONCE = 600
_MARGIN = 0.25
_WALK_SPEED_M_S = 1.4
_WALK_STEP_M = 0.1

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Wraps a loop: what is looped over, what it does, how often."""


@dataclass(frozen=True)
class Coverage:
    """What an antenna at UE height would receive of each cell, all over the ground.

    Attributes:
        x_m, y_m: centres of the grid's squares, [num_x] and [num_y].
        path_gain: mean received over transmitted power of each cell, [num_cells, num_y, num_x]; NaN where no UE can
            be, 0 where nothing is received.
        sinr: of the best server with all cells transmitting at full power, [num_y, num_x].
        server: cell of largest path gain, [num_y, num_x]; -1 where nothing is received.
        roof_x_m, roof_y_m: centres of a finer grid.
        roof_m: heights of buildings above the ground there, [num_roof_y, num_roof_x]; None: the model knows none.
    """

    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    path_gain: NDArray[np.float64]
    sinr: NDArray[np.float64]
    server: NDArray[np.int64]
    roof_x_m: NDArray[np.float64]
    roof_y_m: NDArray[np.float64]
    roof_m: NDArray[np.float64] | None


@dataclass(frozen=True)
class Walk:
    """What a UE receives on its way.

    Attributes:
        distance_m: way walked, [num_points].
        position_m: where that is, [num_points, 2].
        power_dbm: mean received power of each cell per antenna port, [num_points, num_cells]; minus infinity for none.
    """

    distance_m: NDArray[np.float64]
    position_m: NDArray[np.float64]
    power_dbm: NDArray[np.float64]


def silent(loop: Iterable[Any], what: str, count: int) -> Iterable[Any]:  # noqa: ARG001
    """Loop without telling anyone."""
    return loop


def on_terminal(loop: Iterable[Any], what: str, count: int) -> Iterator[Any]:
    """Loop with a bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    yield from track(loop, description=what, total=count, console=Console(stderr=True))


def coverage(
    scenario: Scenario,
    spacing_m: float | None = None,
    progress: Progress = silent,
    ground_m: tuple[float, float, float, float] | None = None,
) -> Coverage:
    """Return the coverage of a scenario's cells at UE height.

    Ray-traced channels are solved by Sionna RT's radio map solver over the whole scene; any other channel
    model is asked for the mean gain (over antennas and subbands, at time 0) of UEs on a grid around the sites.

    Args:
        scenario: the world; its own UEs do not matter.
        spacing_m: side of the grid's squares; none: chosen from the size of the ground.
        progress: told of long loops.
        ground_m: least x and y, largest x and y, of a grid that reaches from edge to edge; none: a square around cells
            and UEs. Ray-traced channels know their ground themselves.

    Raises:
        UserError: the channel cannot be started, or a cell stands inside a building.
    """
    world = build_world(scenario)
    height_m = scenario.ues.height_m
    if isinstance(world.channel, RayTraced):
        x_m, y_m, path_gain, roof = _traced(world, world.channel, height_m, spacing_m, progress)
    else:
        x_m, y_m, path_gain = _evaluated(world, height_m, _ground(world.geometry, spacing_m, ground_m), progress)
        roof = (x_m, y_m, None)
    power_w = dbm_to_watt(scenario.sites.gnb.tx_power_dbm)
    noise_w = world.geometry.ue_noise_psd_w_hz * world.numerology.num_prbs * 12 * world.numerology.subcarrier_spacing_hz
    best = path_gain.max(axis=0)
    sinr = power_w * best / (power_w * (path_gain.sum(axis=0) - best) + noise_w)
    nothing = ~(best > 0)
    server = np.where(nothing, -1, np.nan_to_num(path_gain).argmax(axis=0))
    return Coverage(x_m, y_m, path_gain, sinr, server, *roof)


def _traced(
    world: World, channel: RayTraced, height_m: float, spacing_m: float | None, progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[Any, Any, Any]]:
    """Return grid, path gain and roofs of a scene."""
    from channel.ray_tracing_map import SceneMap

    scene = SceneMap(channel, world.geometry, spacing_m)
    found = scene.path_gain(height_m, stream_key(world.seeds[0], "map"))
    path_gain = np.stack(list(progress(found, "cells", world.geometry.num_cells)))
    path_gain[:, scene.roof_m(scene.x_m, scene.y_m) > height_m] = np.nan
    fine_x_m, fine_y_m = (_refined(centre_m, 4) for centre_m in (scene.x_m, scene.y_m))
    return scene.x_m, scene.y_m, path_gain, (fine_x_m, fine_y_m, scene.roof_m(fine_x_m, fine_y_m))


def _refined(centre_m: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Return the centres of a grid with so many times as many squares."""
    step_m = centre_m[1] - centre_m[0]
    fine_m: NDArray[np.float64] = centre_m[:, None] + step_m * ((np.arange(times) + 0.5) / times - 0.5)
    return fine_m.ravel()


def _evaluated(
    world: World, height_m: float, ground: tuple[NDArray[np.float64], NDArray[np.float64]], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return grid and path gain by asking the channel model for UEs on the grid."""
    geometry = world.geometry
    x_m, y_m = ground
    plan_m = np.stack(np.meshgrid(x_m, y_m), -1).reshape(-1, 2)
    distance_m = np.linalg.norm(plan_m[:, None] - geometry.cell_position_m[:, :2], axis=-1).min(axis=1)
    allowed = np.flatnonzero(distance_m >= _least_distance_m(world))
    path_gain = np.full((geometry.num_cells, len(plan_m)), np.nan)
    parts = np.array_split(allowed, max(1, -(-len(allowed) // _UES_AT_ONCE)))
    for part in progress(parts, "points", len(parts)):
        position_m = np.column_stack([plan_m[part], np.full(len(part), height_m)])
        there = replace(
            geometry, ue_position_m=position_m, ue_velocity_m_s=0 * position_m, trajectory=None,
            cell_array=_element(geometry.cell_array),
        )  # fmt: skip
        state = world.channel.start(there, world.seeds[0])
        path_gain[:, part] = world.channel.realise(there, state, 0.0, world.seeds[0])[0].path_gain[0].T
    return x_m, y_m, path_gain.reshape(-1, len(y_m), len(x_m))


def _element(array: AntennaArray) -> AntennaArray:
    """Return one element of a panel: its mean gain over ports is the panel's, at a fraction of the work."""
    return array.model_copy(update={"rows": 1, "columns": 1})


def _least_distance_m(world: World) -> float:
    """Return how near to a site the channel model holds."""
    channel = world.channel
    return MIN_DISTANCE_M[channel.scenario] if isinstance(channel, Tr38901) else 0.0


def _ground(
    geometry: Geometry, spacing_m: float | None, ground_m: tuple[float, float, float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the grid: over the given ground, or over what the cells and the UEs stand on and a margin around it."""
    if ground_m is not None:
        step_m = spacing_m or max(ground_m[2] - ground_m[0], ground_m[3] - ground_m[1]) / _GRID_POINTS
        x_m, y_m = (
            np.linspace(
                ground_m[axis], ground_m[axis + 2], 1 + max(1, round((ground_m[axis + 2] - ground_m[axis]) / step_m))
            )
            for axis in (0, 1)
        )
        return x_m, y_m
    plan_m = np.concatenate([geometry.cell_position_m[:, :2], geometry.ue_position_m[:, :2]])
    low_m, high_m = plan_m.min(axis=0), plan_m.max(axis=0)
    size_m = max(float((high_m - low_m).max()) * (1 + 2 * _MARGIN), 10.0)
    step_m = spacing_m or size_m / _GRID_POINTS
    count = max(2, round(size_m / step_m))
    offset_m = (np.arange(count) - (count - 1) / 2) * step_m
    middle_m = (low_m + high_m) / 2
    return middle_m[0] + offset_m, middle_m[1] + offset_m


def walk(
    scenario: Scenario,
    start_m: tuple[float, float],
    end_m: tuple[float, float],
    progress: Progress = silent,
) -> Walk:
    """Return what one UE receives that walks straight from ``start_m`` to ``end_m`` at 1.4 m/s.

    The channel model sees a single moving UE and is asked every 0.1 m, as a run would ask it.

    Raises:
        UserError: the points are equal, or the channel cannot be started or the UE cannot walk there.
    """
    world = build_world(scenario)
    start, end = np.array(start_m), np.array(end_m)
    length_m = float(np.linalg.norm(end - start))
    if length_m == 0:
        raise UserError("a walk needs two different points, such as --walk 0,0,200,0")
    velocity = np.append((end - start) / length_m * _WALK_SPEED_M_S, 0.0)
    geometry = replace(
        world.geometry, ue_position_m=np.array([[*start, scenario.ues.height_m]]), ue_velocity_m_s=velocity[None],
        trajectory=None,
    )  # fmt: skip
    channel = world.channel.model_copy(update={"coherence_interval_s": _WALK_STEP_M / _WALK_SPEED_M_S})
    seed = world.seeds[0]
    state = channel.start(geometry, seed)
    distance_m = np.arange(0.0, length_m + 1e-9, _WALK_STEP_M)
    gain = np.empty((len(distance_m), geometry.num_cells))
    for point in progress(range(len(distance_m)), "steps", len(distance_m)):
        snapshot, state = channel.realise(geometry, state, point * channel.coherence_interval_s, seed)
        gain[point] = snapshot.path_gain[0, 0]
    with np.errstate(divide="ignore"):
        power_dbm = scenario.sites.gnb.tx_power_dbm + 10 * np.log10(gain)
    return Walk(distance_m, start + np.outer(distance_m / length_m, end - start), power_dbm)


def draw(scenario: Scenario, path: Path, walk_m: str | None, progress: Progress = on_terminal) -> None:
    """Write the map of a scenario, or the figure of a walk given as ``x0,y0,x1,y1``, to a PNG file.

    Raises:
        UserError: as ``coverage`` and ``walk``; or the file cannot be written, or the walk is no four numbers.
    """
    from ran.metrics.figure_style import save, styled
    from scenarios.map_figures import coverage_figure, walk_figure

    with styled():
        if walk_m is None:
            figure = coverage_figure(scenario, coverage(scenario, progress=progress))
        else:
            x0, y0, x1, y1 = _four_numbers(walk_m)
            figure = walk_figure(scenario, walk(scenario, (x0, y0), (x1, y1), progress))
        try:
            save(figure, path, scenario.report.dpi)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def _four_numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise UserError(f"--walk {text}: expected four numbers x0,y0,x1,y1 in metres, such as --walk 0,0,200,0")
    return numbers

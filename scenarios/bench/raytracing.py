"""Seconds of a ray-traced step in Munich, replayed, beside a fresh solve."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from channel.geometry import Geometry
from channel.ray_traced import RayTraced
from channel.ray_tracing import Tracer
from channel.seeding import stream
from scenarios.bench.bench import Measurement
from scenarios.build import build_world
from scenarios.load import load

_UES = 16


def measure() -> Iterator[Measurement]:
    """Yield seconds per coherence interval and per load from the cache, 16 UEs and 3 cells of 8 antennas."""
    world = build_world(load("munich"))
    channel = world.channel
    assert isinstance(channel, RayTraced)
    with _own_cache():
        geometry = _walkers(channel, world.geometry)
        tracer = Tracer(channel, geometry, 1)
        tracer.rays(0.0)  # loads the scene and compiles the solver's kernels
        retraces = iter(range(1, 100))
        fresh_s = _seconds(lambda: tracer.rays(next(retraces) * channel.retrace_interval_s), 3)
        state = channel.start(geometry, 1)
        steps = iter(range(1, 10_000))
        step_s = channel.coherence_interval_s
        per_retrace = round(channel.retrace_interval_s / step_s)
        channel.realise(geometry, state, 0.0, 1)  # compiles our kernel
        replay_s = _seconds(
            lambda: channel.realise(geometry, state, (next(steps) % per_retrace) * step_s, 1), 2 * per_retrace
        )
        cached_s = _seconds(lambda: tracer.rays(0.0), 30)
    size = f"{_UES} walking UEs x {geometry.num_cells} cells x 8 antennas in Munich"
    for what, value in (("one replayed step", replay_s), ("paths from the disk cache", cached_s)):
        yield Measurement(
            name=f"{size}, {what}", value=value, unit="s",
            reference="a fresh solve by Sionna RT of the same size, on all cores", reference_value=fresh_s,
            speedup=fresh_s / value,
        )  # fmt: skip


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of ``repeats`` calls."""
    taken_s = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        taken_s.append(time.perf_counter() - start_s)
    return statistics.median(taken_s)


def _walkers(channel: RayTraced, geometry: Geometry) -> Geometry:
    """Return the world with 16 UEs in open places around the first site, too slow to meet a wall."""
    from channel.ray_tracing_scene import TracedScene

    rng = stream(1, "bench raytracing")
    places = geometry.cell_position_m[0, :2] + rng.uniform(-150.0, 150.0, (40 * _UES, 2))
    free = places[~TracedScene(channel.scene, geometry.carrier_hz).covered(places, 1.5)]
    angle = rng.uniform(0.0, 2 * np.pi, _UES)
    return replace(
        geometry,
        ue_position_m=np.column_stack([free[:_UES], np.full(_UES, 1.5)]),
        ue_velocity_m_s=0.1 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1),
        trajectory=None,
    )


@contextmanager
def _own_cache() -> Iterator[None]:
    """Keep solved paths in a folder that goes away, so that fresh means fresh."""
    before = os.environ.get("AIRTUNE_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRTUNE_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["AIRTUNE_CACHE"]
            else:
                os.environ["AIRTUNE_CACHE"] = before

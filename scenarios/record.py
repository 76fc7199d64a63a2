"""`airtune record`: a scenario's channel, interval by interval, into an HDF5 file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from channel.errors import UserError

if TYPE_CHECKING:
    from scenarios.schema import Scenario


@dataclass(frozen=True)
class Recorded:
    """What was written: number of intervals, virtual time in s and size in bytes."""

    intervals: int
    duration_s: float
    size_bytes: int


def record(
    scenario: Scenario, out: Path, *, duration_s: float, contents: Literal["paths", "gains"] = "paths"
) -> Recorded:
    """Write the air from time 0 to ``duration_s`` as a run of the scenario meets it.

    Args:
        scenario: whose channel.
        out: the HDF5 file; one that exists is replaced.
        duration_s: virtual time in s, rounded up to whole coherence intervals.
        contents: ``paths``: also the impulse responses, where the model has them; ``gains``: subband gains only.

    Raises:
        UserError: the channel cannot be drawn or the file not written.
    """
    from channel.recording import RecordingWriter
    from scenarios.build import build_world
    from scenarios.show import to_yaml

    world = build_world(scenario)
    model, seed = world.channel, scenario.seed
    state = model.start(world.geometry, seed, world.torch_device)
    step_s = model.coherence_interval_s
    count = max(1, math.ceil(duration_s / step_s - 1e-9))
    metadata: dict[str, str | float] = {
        "airtune_version": version("airtune"),
        "carrier_hz": world.geometry.carrier_hz,
        "seed": seed,
        "scenario": to_yaml(scenario),
    }
    with RecordingWriter(out, coherence_interval_s=step_s, metadata=metadata) as writer:
        for index in range(count):
            snapshot, state = model.realise(world.geometry, state, (index + 0.5) * step_s, seed)
            writer.append(snapshot if contents == "paths" else replace(snapshot, paths=None))
    return Recorded(count, count * step_s, out.stat().st_size)


def of_run_or_scenario(given: str, overrides: Sequence[str], duration_s: float | None) -> tuple[Scenario, float]:
    """Return the scenario of a YAML file, packaged name or run directory, and how much virtual time to record.

    A run directory is recorded to the end of its last round unless ``duration_s`` says otherwise; a scenario for 10 s.

    Raises:
        UserError: there is no such scenario, or the run has no complete round.
    """
    from scenarios.load import load

    folder = Path(given)
    if not (folder / "scenario.yaml").is_file():
        return load(given, overrides), 10.0 if duration_s is None else duration_s
    scenario = load(folder / "scenario.yaml", overrides)
    if duration_s is None:
        from scenarios.results import load as load_results

        rounds = load_results(folder).rounds
        if rounds.empty:
            raise UserError(f"{given}: has no complete round yet; say how much to record with --duration")
        duration_s = float(rounds["end_s"].iloc[-1])
    return scenario, duration_s

"""What a benchmark is, which there are, and how one is run and printed."""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from channel.errors import UserError
from channel.registry import did_you_mean

BENCHMARKS = {
    "aggregate": "milliseconds of every aggregator on 50 updates of 300,000 parameters, beside the weighted mean",
    "air": "sums over the air beside digital links, over SNR, UEs and impairments (tables, CSV, figures; half an hour)",
    "aircomp": "UE-resource elements per second of sums in the air, beside Sionna's ApplyTimeChannel, and memory",
    "asynchrony": "virtual time to accuracy of all schedules with one slow UE (table, CSV, figure; ten minutes)",
    "byzantine": "accuracy over the malicious part of the clients, every attack and aggregator (tables, CSV, figure)",
    "channel": "seconds per coherence interval of a TR 38.901 world, beside a fresh drop by Sionna, and its memory",
    "clients": "local training by the client engines, beside lean PyTorch loops, and 10,000 clients (some minutes)",
    "compress": "megabytes per second of every compressor on one core, beside torch.topk and zlib, bits and errors",
    "flow": "latency and rate of the flow fidelity on 20 random scenarios, beside every slot, and speed (half an hour)",
    "gkt": "FedGKT beside FedAvg of the large model, and what features leak (tables, CSV, figures; half an hour)",
    "itu": "spectral efficiency of 21 UMi and UMa cells, beside ITU-R's requirements (a table; some minutes)",
    "losses": "learning over RLC UM links that lose packets, with every recovery, beside RLC AM (table, CSV, figure)",
    "methods": "accuracy of all learning methods at equal virtual time and bytes (tables, CSV, figures; half an hour)",
    "pipeline": "elastic and static pipelines on PipeTransformer's networks; the cost of simulating (table, figures)",
    "raytracing": "seconds of a ray-traced step in Munich, replayed, beside a fresh solve by Sionna RT",
    "slots": "slots per second of the MAC loop, beside the loop of Sionna's own parts",
    "split": "split training steps beside unsplit ones, micro-batches, MiniLM on SST-2 at all cuts (CSV, figure)",
    "split_costs": "federated, split and FedGKT: a UE's costs until one accuracy (table, CSV, figure; half an hour)",
    "traffic": "bytes and air of the whole model, LoRA, few bits and sums, at one accuracy (table, CSV, figure)",
}
"""Benchmarks by name; each is a module here with ``measure() -> Iterator[Measurement]``, with ``tell(write)`` where
its outcome is a table, or with ``compare(write, out)`` where it also leaves files in a folder."""

_MODULES = dict[str, str]()


def add_benchmark(name: str, module: str, says: str) -> None:
    """Make known a benchmark that lives in another package."""
    BENCHMARKS[name], _MODULES[name] = says, module


def module_of(name: str) -> str:
    """Return the module of a benchmark."""
    return _MODULES.get(name, f"scenarios.bench.{name}")


PACKAGES = ("airtune", "sionna", "torch", "numba", "numpy")


@dataclass(frozen=True)
class Measurement:
    """One line of a benchmark.

    Attributes:
        speedup: how many times faster than the reference ours is; above 1 is better, also where the values are times.
    """

    name: str
    value: float
    unit: str
    reference: str | None = None
    reference_value: float | None = None
    speedup: float | None = None


def rate_per_s(work: Callable[[int], object], amount: int, repeats: int = 3) -> float:
    """Return units of work per second: the median over ``repeats`` timed runs, after one run to warm up."""
    work(max(1, amount // 10))
    rates = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work(amount)
        rates.append(amount / (time.perf_counter() - start_s))
    return statistics.median(rates)


def machine() -> dict[str, object]:
    """Return processor, cores, versions and thread settings, printed beside every benchmark."""
    from importlib.metadata import version

    import torch

    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "versions": {package: version(package) for package in PACKAGES},
            "torch_threads": torch.get_num_threads(),
            "threads_used": 1,
        }
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def run_benchmark(name: str, write: Callable[[str], object] = print, out: Path | None = None) -> None:
    """Run one benchmark and write the machine and then a JSON object or a row a line, each as soon as it is measured.

    Args:
        name: of the benchmark.
        write: takes each line.
        out: folder for its files, where it leaves any; by default ``runs/bench-NAME``.

    Raises:
        UserError: there is no such benchmark, or it leaves no files.
    """
    if name not in BENCHMARKS:
        known = ", ".join(f"{key} ({text})" for key, text in BENCHMARKS.items())
        raise UserError(f"unknown benchmark {name!r}{did_you_mean(name, list(BENCHMARKS))} Known: {known}")
    module = importlib.import_module(module_of(name))
    if out is not None and not hasattr(module, "compare"):
        raise UserError(f"the benchmark {name} writes no files; leave out --out")
    write(json.dumps(machine()))
    if hasattr(module, "compare"):
        module.compare(write, out or Path("runs") / f"bench-{name}")
        return
    if hasattr(module, "tell"):
        module.tell(write)
        return
    measurements: Iterator[Measurement] = module.measure()
    for measurement in measurements:
        write(json.dumps(asdict(measurement)))

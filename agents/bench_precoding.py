"""Time and spectral efficiency of ICGNN, of its rivals and of fewer iterations; WMMSE's time beside RZF's.

One thread, batches of 512 Rayleigh channels in single precision at 10 dB. Precoders take turns, so that whatever else
the machine does meets all of them; times are the thread's own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

import agents.gnn.icgnn  # noqa: F401 - registers itself, also where AirTune is not installed
from agents.gnn.draws import rayleigh
from channel.seeding import stream
from ran.phy.precoding import PRECODERS, WMMSE, Precoder, sum_rate
from ran.threads import torch_threads
from scenarios.bench.bench import Measurement

if TYPE_CHECKING:
    from torch import Tensor

SIZES = ((16, 16), (64, 16))  # antennas, streams
BATCH, POWER = 512, 10.0
_REPEATS, _REFERENCE = 7, "WMMSE, 100 iterations"
_FEWER = (1, 3, 10, 30)  # iterations, for the frontier of rate against time


def measure() -> Iterator[Measurement]:
    """Yield milliseconds a batch and bit/s/Hz, beside WMMSE of 100 iterations; WMMSE's own time beside RZF's."""
    precoders: dict[str, Precoder] = {
        _REFERENCE: WMMSE(tolerance=0.0, max_iterations=100),
        **{name: PRECODERS.get(name)() for name in ("icgnn", "rzf", "mmse", "wmmse")},
        **{f"WMMSE, {n} iterations": WMMSE(tolerance=0.0, max_iterations=n) for n in _FEWER},
    }
    for antennas, streams in SIZES:
        h = rayleigh(BATCH, streams, antennas, stream(0, "bench precoding", antennas, streams))
        with torch_threads(1), torch.no_grad():
            times = times_ms(precoders, h)
            rates = {
                name: float(sum_rate(h, each.precode(h, 1.0, POWER), 1.0).mean()) for name, each in precoders.items()
            }
        size, slow = f"{antennas}x{streams}", times[_REFERENCE]
        yield Measurement(f"{size}, {_REFERENCE}", slow, "ms", "rzf", times["rzf"], times["rzf"] / slow)
        yield Measurement(f"{size}, {_REFERENCE}", rates[_REFERENCE], "bit/s/Hz")
        for name in precoders:
            if name != _REFERENCE:
                yield Measurement(f"{size}, {name}", times[name], "ms", _REFERENCE, slow, slow / times[name])
                yield Measurement(
                    f"{size}, {name}", rates[name], "bit/s/Hz", _REFERENCE, rates[_REFERENCE],
                    rates[name] / rates[_REFERENCE],
                )  # fmt: skip


def times_ms(precoders: dict[str, Precoder], h: Tensor) -> dict[str, float]:
    """Return the median time of each, after one run to warm up."""
    times = dict[str, list[float]]()
    for _ in range(_REPEATS + 1):
        for name, each in precoders.items():
            start_s = time.thread_time()
            each.precode(h, 1.0, POWER)
            times.setdefault(name, []).append(1e3 * (time.thread_time() - start_s))
    return {name: statistics.median(each[1:]) for name, each in times.items()}

"""Benchmarks: each beside what it is compared with, in one run, as JSON lines."""

from scenarios.bench.bench import BENCHMARKS, Measurement, run_benchmark

__all__ = ["BENCHMARKS", "Measurement", "run_benchmark"]

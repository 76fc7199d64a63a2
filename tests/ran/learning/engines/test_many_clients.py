"""10,000 clients of which 100 train: memory, and work that does not grow with those who do not."""

import subprocess
import sys

import numpy as np
import pytest

from ran.learning.engines import Sequential, Stacked
from scenarios.bench.clients import MANY, MEMORY_LIMIT_GB, many_clients


@pytest.mark.parametrize("engine", [Stacked(), Sequential()])
def test_a_round_looks_at_its_participants_only(engine):
    """Property: a round of 100 of 10,000 clients reads the rows of these 100 clients and of nobody else."""
    learner, run = many_clients(MANY, engine)
    asked: set[int] = set()

    class Watched(list):
        def __getitem__(self, client):
            asked.add(client)
            return super().__getitem__(client)

        def __iter__(self):
            raise AssertionError("somebody walks over all clients")

    learner._rows = Watched(learner._rows)
    run()
    assert asked == set(range(0, MANY, MANY // 100))


def test_peak_memory_is_below_the_limit():
    """Oracle: the peak resident memory that the system counts for a fresh process, imports and data included."""
    code = "from scenarios.bench.clients import peak_memory_gb; print(peak_memory_gb())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 0.05 < float(done.stdout.split()[-1]) < MEMORY_LIMIT_GB


def test_rows_of_all_clients_are_the_samples_once():
    """Property: 10,000 lists of row numbers hold each sample once."""
    learner, _ = many_clients(MANY, Stacked())
    assert np.array_equal(np.sort(np.concatenate(learner._rows)), np.arange(8 * MANY))

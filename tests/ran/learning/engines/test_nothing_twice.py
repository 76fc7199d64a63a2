"""No client's data and no base model is held twice: what the system counts, on every engine."""

import ctypes
import gc
import importlib.util
import sys
from pathlib import Path

import pytest

from ran.learning.adapters import Full, Lora
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.engines import Keras, Processes, Sequential, Stacked
from ran.learning.learner import Learner
from ran.learning.models import GlyphVit
from ran.learning.partition.iid import Iid
from ran.learning.small_models import Mlp
from scenarios.bench.clients import RandomImages
from tests.ran.learning.conftest import digits_learner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
IMAGES = 400_000
DATA_BYTES = IMAGES * 64 * 4
needs_keras = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="extra tensorflow missing")
IN_ONE_PROCESS = [Sequential(), Stacked(), pytest.param(Keras(), marks=needs_keras)]


def own_bytes(process="self") -> int:
    """Return the resident memory of a process that is its own and not a file's, without what earlier tests let go."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def crowd(engine, num_clients, count=IMAGES) -> Learner:
    """Return a learner over ``count`` images, all clients' together, one short round of ten clients behind it."""
    learner = Learner(
        task=RandomImages(count=count), model=Mlp(hidden=(8,)), adapter=Full(), partition=Iid(), seed=1, engine=engine,
        algorithm=FedAvg(local_steps=2, batch_size=8), num_clients=num_clients,
    )  # fmt: skip
    learner.train_many(range(10), [learner.initial()] * 10, 0, [None] * 10)
    return learner


@pytest.mark.parametrize("engine", IN_ONE_PROCESS, ids=lambda engine: engine.name)
def test_data_is_held_once_however_many_clients_share_it(engine):
    """Oracle: resident memory: the data and their row numbers once, 10 clients or 1,000, opened and trained."""
    crowd(engine, 10, 1000)  # What a first use of libraries takes.
    for num_clients in (10, 1000):
        before = own_bytes()
        learner = crowd(engine, num_clients)
        grown = own_bytes() - before
        held = DATA_BYTES + 2 * 8 * IMAGES  # labels and rows
        assert 0.9 * DATA_BYTES < grown < held + DATA_BYTES / 4
        learner.close()
        del learner


def test_processes_hold_no_data_of_their_own():
    """Oracle: resident memory that is not a file's: of the parent and of a worker, hardly more than without data."""
    grown = []
    for count in (1000, IMAGES):
        before = own_bytes()
        learner = crowd(Processes(workers=1), 100, count)
        worker = learner.trainer._idle.get()
        grown.append((own_bytes() - before, own_bytes(worker.process.pid)))
        learner.close()
    rows = 8 * IMAGES
    for few, many in zip(*grown, strict=True):
        assert many - few < 2 * rows + DATA_BYTES / 4


@pytest.mark.parametrize(
    "engine", [Sequential(), pytest.param(Processes(workers=1), marks=pytest.mark.slow)], ids=lambda engine: engine.name
)
def test_one_base_serves_all_clients(engine):
    """Oracle: resident memory of rounds with ever other clients: less than one more base of the transformer."""
    learner = digits_learner(
        model=GlyphVit(), adapter=Lora(), algorithm=FedAvg(local_steps=1), num_clients=40, engine=engine,
        partition=Iid(),
    )  # fmt: skip
    base_bytes = 4 * (learner.num_parameters - learner.num_trainable)
    received = [learner.initial()] * 10

    def held() -> list[int]:
        worker = learner.trainer._idle.get() if engine.name == "processes" else None
        if worker is None:
            return [own_bytes()]
        learner.trainer._idle.put(worker)
        return [own_bytes(), own_bytes(worker.process.pid)]

    for start in (0, 10):
        learner.train_many(range(start, start + 10), received, 0, [None] * 10)
    before = held()
    for start in (20, 30, 0, 10):
        learner.train_many(range(start, start + 10), received, 1, [None] * 10)
    after = held()
    learner.close()
    assert max(now - then for now, then in zip(after, before, strict=True)) < base_bytes

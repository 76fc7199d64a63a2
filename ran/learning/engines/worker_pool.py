"""Worker processes that stay from round to round, and what each of them is doing."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from channel.errors import UserError
from ran.learning.engines.engine import Assignment, Workplace
from ran.learning.engines.shared_learner import share
from ran.learning.engines.worker import FAILED, decode_update, encode_assignment, read_message, write_message

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import ClientUpdate

Worker = subprocess.Popen[bytes]


class WorkerPool:
    """Trains the participants of a round on several processes, whoever is idle taking the next.

    An update is a function of assignment and round alone, so it does not matter which worker makes it.
    """

    def __init__(self, workplace: Workplace, number: int) -> None:
        self.title = f"processes: workers {number}, torch threads of each {workplace.threads}"
        self._passes = [workplace.algorithm.passes(len(rows)) for rows in workplace.rows]
        directory = TemporaryDirectory(prefix="airtune-")
        share(workplace, Path(directory.name))
        self._workers = [_start(directory.name) for _ in range(number)]
        # Also when the pool is forgotten, or the interpreter ends.
        self.close = weakref.finalize(self, _end, self._workers, directory)
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            _listen(worker)
            self._idle.put(worker)

    def train(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates, in order; raises UserError when a worker has died."""
        # The longest first, so that no worker starts on it when the others are done.
        order = sorted(range(len(assignments)), key=lambda index: -self._passes[assignments[index].client])
        with ThreadPoolExecutor(len(self._workers)) as threads:
            made = threads.map(lambda index: self._ask(assignments[index], round_index), order)
            updates = dict(zip(order, made, strict=True))
        return [updates[index] for index in range(len(assignments))]

    def _ask(self, each: Assignment, round_index: int) -> ClientUpdate:
        worker = self._idle.get()
        try:
            assert worker.stdin is not None
            write_message(worker.stdin, encode_assignment(each, round_index))
            return decode_update(_listen(worker))
        except BrokenPipeError:
            _listen(worker)
            raise
        finally:
            self._idle.put(worker)


def _start(directory: str) -> Worker:
    # A process of its own, and not a fork of this one, whose threads would be missing in it.
    return subprocess.Popen(
        [sys.executable, "-m", "ran.learning.engines.worker", directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def _listen(worker: Worker) -> bytes:
    """Return the worker's next answer."""
    assert worker.stdout is not None
    message = read_message(worker.stdout)
    if message is None:
        raise UserError(
            f"a worker process of learning.engine has ended (exit code {worker.wait()}), maybe for want of memory; set "
            "fewer learning.engine.workers, or learning.engine: sequential"
        )
    if message.startswith(FAILED):
        raise RuntimeError(f"training failed in a worker process:\n{message[len(FAILED) :].decode()}")
    return message


def _end(workers: Sequence[Worker], directory: TemporaryDirectory[str]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()
    directory.cleanup()

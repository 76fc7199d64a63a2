"""Worker processes that stay from round to round, and what each of them is doing."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from channel.errors import UserError
from ran.learning.engines.engine import Assignment, Workplace
from ran.learning.engines.shared_learner import share
from ran.learning.engines.worker import FAILED, decode_update, encode_assignment, read_message, write_message
from ran.learning.payload import encode

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import ClientUpdate

Process = subprocess.Popen[bytes]


@dataclass
class Worker:
    """A worker process, and the encoded broadcast that it has."""

    process: Process
    has: bytes = b""


class WorkerPool:
    """Trains the participants of a round on several processes, whoever is idle taking the next.

    An update is a function of assignment and round alone, so it does not matter which worker makes it.
    """

    def __init__(self, workplace: Workplace, number: int) -> None:
        self.title = f"processes: workers {number}, torch threads of each {workplace.threads}"
        self._passes = [workplace.algorithm.passes(len(rows)) for rows in workplace.rows]
        directory = TemporaryDirectory(prefix="airtune-")
        share(workplace, Path(directory.name))
        processes = [_start(directory.name) for _ in range(number)]
        # Also when the pool is forgotten, or the interpreter ends.
        self.close = weakref.finalize(self, _end, processes, directory)
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._number = number
        for process in processes:
            _listen(process)
            self._idle.put(Worker(process))

    def train(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates, in order; raises UserError when a worker has died."""
        # The longest first, so that no worker starts on it when the others are done.
        order = sorted(range(len(assignments)), key=lambda index: -self._passes[assignments[index].client])
        # What several received is encoded once.
        received = {id(each.received): each.received for each in assignments}
        encoded = {key: encode(arrays) for key, arrays in received.items()}

        def ask(index: int) -> ClientUpdate:
            each = assignments[index]
            return decode_update(self._ask(encoded[id(each.received)], encode_assignment(each, round_index)))

        # One thread more than there are workers: it has the next message ready when an answer comes.
        with ThreadPoolExecutor(self._number + 1) as threads:
            updates = dict(zip(order, threads.map(ask, order), strict=True))
        return [updates[index] for index in range(len(assignments))]

    def _ask(self, received: bytes, message: bytes) -> bytes:
        """Return the next idle worker's answer."""
        worker = self._idle.get()
        process = worker.process
        try:
            assert process.stdin is not None
            # By identity: bytes that were sent are kept, so no others can be at their address.
            write_message(process.stdin, b"" if worker.has is received else received)
            worker.has = received
            write_message(process.stdin, message)
            return _listen(process)
        except BrokenPipeError:
            _listen(process)
            raise
        finally:
            self._idle.put(worker)


def _start(directory: str) -> Process:
    # A process of its own, and not a fork of this one, whose threads would be missing in it.
    return subprocess.Popen(
        [sys.executable, "-m", "ran.learning.engines.worker", directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def _listen(worker: Process) -> bytes:
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


def _end(workers: Sequence[Process], directory: TemporaryDirectory[str]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()
    directory.cleanup()

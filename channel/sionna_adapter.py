"""The one place that sets Sionna's precision, device and random state, and puts everything back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from channel.errors import UserError

_RANDOM_STATE = ("_seed", "_py_rng", "_np_rng", "_torch_rngs")


@contextmanager
def sionna_state(
    seed: int, *, device: str = "cpu", precision: Literal["single", "double"] = "single"
) -> Iterator[None]:
    """Run a block of Sionna code from ``seed`` on one thread, leaving no trace outside it.

    Inside the block Sionna's configuration has this seed, device and precision, torch records no
    gradients, and torch and BLAS use one CPU thread, so that equal seeds give equal bits on any number of cores. On
    leaving it, Sionna's configuration and generators, torch's global generators (which Sionna reseeds
    whenever it is seeded, and when it is first imported) and torch's thread count are what they were.
    Import Sionna inside such a block only. Not for use from two threads at once.

    Args:
        seed: 0 to 2^64 - 1; make it with ``channel.seeding.stream_key``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; bits are equal on equal devices only.
        precision: ``single`` or ``double``.

    Raises:
        UserError: torch sees no such device.
    """
    import torch

    with _torch_restored():
        from sionna.phy import config
        from threadpoolctl import threadpool_limits

        index = f"{device}:0" if device == "cuda" else device
        if index not in config.available_devices:
            known = ", ".join(config.available_devices)
            raise UserError(
                f"device {device!r} is not available to torch on this machine; set `device` to one of: {known}"
            )
        before = {name: getattr(config, name) for name in _RANDOM_STATE}
        before_device, before_precision = config.device, config.precision
        try:
            config.device, config.precision, config.seed = index, precision, seed
            # SciPy's splines solve many small systems: BLAS threads that wait for each other made this 30x slower
            # on a machine with other work.
            with torch.no_grad(), threadpool_limits(1, user_api="blas"):
                yield
        finally:
            config.device, config.precision = before_device, before_precision
            for name, value in before.items():
                setattr(config, name, value)


@contextmanager
def _torch_restored() -> Iterator[None]:
    """Use one torch thread, and restore the thread count and torch's global generators afterwards."""
    import torch

    threads = torch.get_num_threads()
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

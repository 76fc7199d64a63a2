"""Torch's thread count, set for one stage and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run the body with ``count`` intra-operation threads."""
    import torch

    before = torch.get_num_threads()
    # Setting a count, be it the same, throws away what oneDNN has prepared for convolutions.
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)

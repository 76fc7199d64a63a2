"""Numba on first use: importing a component must not pay the 0.4 s that importing Numba takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any


class compiled:  # noqa: N801 - used as a decorator
    """Compile the decorated function by ``numba.njit(cache=True)`` when it is first called.

    For functions that call no other compiled function; those live in ``*_kernels.py`` modules.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._machine_code: Callable[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        """Call the compiled function."""
        if self._machine_code is None:
            import numba

            self._machine_code = numba.njit(cache=True)(self._function)
        return self._machine_code(*args)

"""Which LLVM ray tracing on a CPU uses: Dr.Jit takes any that it finds, and dies of an old one."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST_LLVM = 16
"""Dr.Jit dies inside code generation with LLVM 15 and fails to import with 14."""

VARIABLE = "DRJIT_LIBLLVM_PATH"
"""The environment variable that Dr.Jit reads when it is imported."""


@dataclass(frozen=True)
class Llvm:
    """What was found: the library to use, or None, and a clause that says which, or what is wrong and the remedy."""

    path: str | None
    text: str


def find_llvm(environ: Mapping[str, str], libraries: Iterable[Path]) -> Llvm:
    """Return the newest LLVM that works, or the one that the user has chosen by ``DRJIT_LIBLLVM_PATH``.

    Args:
        environ: environment variables.
        libraries: the LLVM libraries of this machine.
    """
    found = sorted((version, str(path)) for path in libraries if (version := llvm_version(path)) is not None)
    good = [(version, path) for version, path in found if version >= OLDEST_LLVM]
    remedy = f"set {VARIABLE}={good[-1][1]}" if good else "install libllvm19 (`apt install libllvm19`)"
    chosen = environ.get(VARIABLE)
    if chosen:
        return _chosen(chosen, remedy)
    old = ", ".join(str(version) for version in sorted({version for version, _ in found if version < OLDEST_LLVM}))
    if good:
        advice = f"; LLVM {old} is here too and breaks Dr.Jit, so {remedy}" if old else ""
        return Llvm(good[-1][1], f"LLVM {good[-1][0]} at {good[-1][1]}{advice}")
    have = f"only LLVM {old}, which breaks Dr.Jit" if old else "no LLVM"
    return Llvm(None, f"{have}; {remedy}")


def _chosen(chosen: str, remedy: str) -> Llvm:
    """Return the user's own choice, if it can work."""
    if not Path(chosen).exists():
        return Llvm(None, f"{VARIABLE}={chosen} does not exist; {remedy}")
    version = llvm_version(Path(chosen))
    if version is not None and version < OLDEST_LLVM:
        text = f"{VARIABLE}={chosen} is LLVM {version}, which breaks Dr.Jit ({OLDEST_LLVM} or newer works)"
        return Llvm(None, f"{text}; {remedy}")
    return Llvm(chosen, f"LLVM {version or 'of unknown version'} by {VARIABLE}={chosen}")


def llvm_version(library: Path) -> int | None:
    """Return the major version that the path of an LLVM library tells, links followed, or None.

    >>> llvm_version(Path("/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1")), llvm_version(Path("/lib/libLLVM.so.19.1"))
    (15, 19)
    """
    for path in (str(library), os.path.realpath(library)):
        match = re.search(r"libLLVM-(\d+)|libLLVM\.so\.(\d+)|/llvm@?-?(\d+)[/.]", path)
        if match:
            return int(next(group for group in match.groups() if group))
    return None


def llvm_libraries() -> Iterator[Path]:
    """Yield the LLVM libraries of this machine."""
    patterns = (
        f"usr/lib/{platform.machine()}-linux-gnu/libLLVM*.so*",
        "usr/lib/llvm-*/lib/libLLVM*.so*",
        "usr/lib64/libLLVM*.so*",
        "usr/local/lib/libLLVM*.so*",
        "opt/homebrew/opt/llvm*/lib/libLLVM*.dylib",
    )
    for pattern in patterns:
        yield from Path("/").glob(pattern)
    yield from Path(sys.prefix, "lib").glob("libLLVM*.so*")

"""`airtune doctor`: what works on this machine, and what to install for the rest. Imports nothing that it checks."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from channel.llvm import VARIABLE, find_llvm, llvm_libraries

DISTRIBUTION = "airtune"
PACKAGES = ("agents", "scenarios", "ran", "channel")

_USES = {
    "raytracing": "ray-traced channels",
    "agents": "`airtune env` and `airtune train-agent`",
    "tensorflow": "the engine tensorflow",
    "scale": "sweeps over several machines",
    "notebooks": "the notebooks",
}
"""What an extra is for; of others the name says it."""

Status = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis; ``broken`` means that AirTune cannot work without a remedy."""

    status: Status
    text: str

    def __str__(self) -> str:
        return f"{self.status:<7} {self.text}"


def diagnose() -> list[Finding]:
    """Return everything there is to say about this machine."""
    here = Path(__file__).parent.parent
    return [
        _python(),
        *_requirements(),
        *packages(here),
        _threads(),
        _cuda(),
        llvm(os.environ, llvm_libraries()),
        *_caches(here, os.environ),
    ]


def _python() -> Finding:
    return Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")


def _requirements() -> Iterator[Finding]:
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("broken", "AirTune itself is not installed; run `pip install -e .` in its folder")
        return
    yield from requirements([Requirement(line) for line in lines])


def requirements(required: Iterable[Requirement]) -> Iterator[Finding]:
    """Yield a finding for each required distribution and one for each extra."""
    extras: dict[str, list[Requirement]] = {}
    for requirement in required:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", str(requirement.marker or ""))
        if extra:
            extras.setdefault(extra[1], []).append(requirement)
        elif requirement.marker is None or requirement.marker.evaluate():
            have, fits = _installed(requirement)
            if fits:
                yield Finding("ok", f"{requirement.name} {have}")
            else:
                wanted = f"{requirement.name}{requirement.specifier}"
                yield Finding("broken", f"{requirement.name}: {have or 'missing'}; run `pip install '{wanted}'`")
    for extra_name, members in extras.items():
        missing = [member.name for member in members if not _installed(member)[1]]
        if missing:
            use = f"to use {_USES[extra_name]}" if extra_name in _USES else "if you want it"
            remedy = f"missing {', '.join(missing)}; run `pip install '{DISTRIBUTION}[{extra_name}]'` {use}"
            yield Finding("note", f"extra {extra_name}: {remedy}")
        else:
            versions = ", ".join(f"{member.name} {_installed(member)[0]}" for member in members)
            yield Finding("ok", f"extra {extra_name}: {versions}")


def _installed(requirement: Requirement) -> tuple[str, bool]:
    """Return the installed version, or an empty string, and whether it is one that is asked for."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return "", False
    return version, requirement.specifier.contains(version, prereleases=True)


def packages(here: Path) -> Iterator[Finding]:
    """Yield a finding for each of our packages that Python would import from somewhere else than ``here``."""
    strangers = 0
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origins = [Path(place) for place in (spec.submodule_search_locations or ()) if spec] if spec else []
        if here / name not in origins:
            strangers += 1
            where = origins[0] if origins else "nowhere"
            text = f"`import {name}` finds {where}, not AirTune's; use a virtual environment for AirTune alone"
            yield Finding("broken", text)
    if not strangers:
        yield Finding("ok", f"{', '.join(PACKAGES)} are AirTune's own")


def _threads() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    settings = "radio.threads and learning.threads decide how many are used"
    return Finding("ok", f"{usable} processor(s); {', '.join([*limits, settings])}")


def _cuda() -> Finding:
    """Say for which CUDA torch was built, from its version file."""
    spec = importlib.util.find_spec("torch")
    version_file = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    if version_file is None or not version_file.is_file():
        return Finding("note", "CUDA: unknown, torch is missing")
    built_for = re.search(r"^cuda\b[^=]*=\s*(.+)$", version_file.read_text(), re.MULTILINE)
    cuda = ast.literal_eval(built_for[1]) if built_for else None
    if not cuda:
        return Finding("ok", "CUDA: torch is built for the CPU; everything runs there (`device: cpu`)")
    if not Path("/dev/nvidiactl").exists():
        return Finding("note", f"CUDA: torch is built for {cuda}, but there is no NVIDIA device; use `device: cpu`")
    return Finding("ok", f"CUDA: torch is built for {cuda} and there is a device; try `--set device=cuda`")


def llvm(environ: Mapping[str, str], libraries: Iterable[Path]) -> Finding:
    """Return which LLVM ray tracing on a CPU would use; nothing else needs one."""
    found = find_llvm(environ, libraries)
    scope = "" if found.path or environ.get(VARIABLE) else "; nothing else needs it"
    return Finding("ok" if found.path else "note", f"ray tracing: {found.text}{scope}")


def _caches(here: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    home_cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folders = (
        ("compiled kernels", "NUMBA_CACHE_DIR", here / "ran"),
        ("models and data of the hub", "HF_HOME", home_cache / "huggingface"),
    )
    for what, variable, default in folders:
        folder = Path(environ.get(variable) or default)
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if os.access(existing, os.W_OK):
            yield Finding("ok", f"cache of {what}: {folder}")
        else:
            yield Finding("note", f"cache of {what}: {folder} cannot be written; set {variable} to a folder that can")

"""What every test shares: where the real data lies, if it is there at all, and one thread per process."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything imports a BLAS: several pytest workers share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("AIRTUNE_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}/ beside the repository; set AIRTUNE_SHARED to its parent")
    return folder

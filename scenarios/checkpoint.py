"""Checkpoint: the state after a complete round, in one file of plain arrays and JSON."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channel.errors import UserError
from ran.metrics.files import plain, replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_META = "meta.json"


@dataclass(frozen=True)
class Counts:
    """How much of the other files belongs to complete rounds: rows of each table, bytes of events."""

    rounds: int
    ues: int
    event_bytes: int


@dataclass(frozen=True)
class Checkpoint:
    """State from which the round after ``round`` starts.

    Attributes:
        round: the last complete round.
        arrays: state by name; dtype, shape and the alignment of structured dtypes come back as they were.
        meta: the rest of the state, as JSON values.
        counts: what of the run's other files counts.
    """

    round: int
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    counts: Counts


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the last one, atomically, as an npz file with one JSON member."""
    import numpy as np

    arrays = {name: np.asarray(array) for name, array in checkpoint.arrays.items()}
    aligned = sorted(name for name, array in arrays.items() if array.dtype.isalignedstruct)
    meta = {"round": checkpoint.round, "counts": asdict(checkpoint.counts), "aligned": aligned, "meta": checkpoint.meta}
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # A ZipInfo without a date keeps the bytes the same whenever they are written.
        archive.writestr(zipfile.ZipInfo(_META), json.dumps(plain(meta), allow_nan=False))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"arrays/{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read(path: Path) -> Checkpoint | None:
    """Read a checkpoint, or return None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read(_META))
            names = [name for name in archive.namelist() if name != _META]
            arrays = {name[len("arrays/") : -len(".npy")]: _read_array(archive, name) for name in names}
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); run again in another directory with --out") from error
    for name in meta["aligned"]:
        arrays[name] = arrays[name].view(_aligned(arrays[name].dtype))
    return Checkpoint(meta["round"], arrays, meta["meta"], Counts(**meta["counts"]))


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    import numpy as np

    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _aligned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the same structured layout marked as aligned, a mark that npy files do not keep and Numba goes by."""
    import numpy as np

    assert dtype.names is not None
    assert dtype.fields is not None
    layout = {
        "names": list(dtype.names),
        "formats": [dtype.fields[name][0] for name in dtype.names],
        "offsets": [dtype.fields[name][1] for name in dtype.names],
        "itemsize": dtype.itemsize,
    }
    return np.dtype(layout, align=True)  # type: ignore[call-overload, no-any-return]

"""Recordings of a channel in HDF5 files: how they are laid out, written and read.

A file holds, with T intervals of one common length:

| dataset | type, shape | what |
|---|---|---|
| ``gain`` | complex64 [T, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands] | received over transmitted |
| ``time_s`` | float64 [T] | starts of the intervals, whole multiples of ``coherence_interval_s``, rising |
| ``subband_frequency_hz`` | float64 [num_subbands] | subband centres relative to the carrier |
| ``ue_position_m`` | float64 [T, num_rx, 3] | UEs at the starts |
| ``cell_position_m`` | float64 [num_tx, 3] | cells |
| ``paths/gain`` | complex64 [T, num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths] | impulse responses, if any |
| ``paths/delay_s`` | float64 [T, num_rx, num_tx, num_paths] | their delays |

and the attributes ``format`` (``airtune-recording``), ``version`` (1), ``coherence_interval_s`` and free metadata; of
AirTune's own recordings ``airtune_version``, ``seed``, ``carrier_hz`` and ``scenario`` (YAML). An interval with fewer
paths than others is filled with paths of gain 0. Receivers are UEs and transmitters cells (downlink order).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from channel.errors import UserError
from channel.snapshot import ChannelSnapshot, PathSet

FORMAT = "airtune-recording"
VERSION = 1
_RANKS = {"gain": 6, "time_s": 1, "subband_frequency_hz": 1, "ue_position_m": 3, "cell_position_m": 2}


class RecordingWriter:
    """Writes snapshots one after another; the file appears under its name when the block ends without an error."""

    def __init__(self, path: Path, *, coherence_interval_s: float, metadata: Mapping[str, str | float] = {}) -> None:
        """Open the file.

        Args:
            path: of the new file; one that exists is replaced at the end.
            coherence_interval_s: length of every interval in s.
            metadata: further attributes.

        Raises:
            UserError: it cannot be written there.
        """
        self._path = path
        self._part = path.with_name(path.name + ".part")
        try:
            self._file = h5py.File(self._part, "w")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {os.strerror(error.errno or 0)}") from None
        own = {"format": FORMAT, "version": VERSION, "coherence_interval_s": coherence_interval_s}
        self._file.attrs.update({**metadata, **own})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()

    def append(self, snapshot: ChannelSnapshot) -> None:
        """Add one snapshot (batch 1) with its paths if it has any; all of a file have the same links and subbands."""
        assert snapshot.gain.shape[0] == 1, "one replica to a recording"
        if "gain" not in self._file:
            self._file["subband_frequency_hz"] = snapshot.subband_frequency_hz
            self._file["cell_position_m"] = snapshot.cell_position_m
        self._add("time_s", np.array([snapshot.valid_from_s]))
        self._add("gain", snapshot.gain)
        self._add("ue_position_m", snapshot.ue_position_m)
        if snapshot.paths is not None:
            self._add("paths/gain", snapshot.paths.gain)
            self._add("paths/delay_s", snapshot.paths.delay_s)

    def _add(self, name: str, row: NDArray[Any]) -> None:
        """Append ``row`` [1, ...]; its last axis may grow with the file's longest."""
        if name not in self._file:
            shape = (0, *row.shape[1:])
            longest = (None, *row.shape[1:-1], None)[: row.ndim]
            self._file.create_dataset(name, shape, row.dtype, maxshape=longest, chunks=row.shape)
        data = self._file[name]
        grown = (data.shape[0] + 1, *data.shape[1:-1], max(data.shape[-1], row.shape[-1]))[: row.ndim]
        data.resize(grown)
        data[(-1, ..., slice(row.shape[-1])) if row.ndim > 1 else -1] = row[0]


@dataclass(frozen=True)
class Recording:
    """An open recording.

    Attributes:
        path: of the file, as the user gave it.
        file: the open HDF5 file.
        coherence_interval_s: length of an interval in s.
        interval: index of each recorded interval, rising, [T].
    """

    path: str
    file: h5py.File
    coherence_interval_s: float
    interval: NDArray[np.int64]

    @staticmethod
    def open(path: str) -> Recording:
        """Open and check a file.

        Raises:
            UserError: it is missing, no HDF5 file, or not laid out as the module's docstring says.
        """
        if not Path(path).expanduser().is_file():
            raise UserError(f"{path}: no such file; make one with `airtune record`")
        try:
            file = h5py.File(Path(path).expanduser(), "r")
        except OSError:
            raise UserError(f"{path}: is not a readable HDF5 file; make one with `airtune record`") from None
        step_s = file.attrs.get("coherence_interval_s")
        if not isinstance(step_s, float) or not step_s > 0:
            raise UserError(f"{path}: attribute coherence_interval_s is missing or no positive number")
        _check(path, file)
        interval = np.rint(file["time_s"][:] / step_s).astype(np.int64)
        if not len(interval) or (np.diff(interval) < 1).any() or interval[0] < 0:
            raise UserError(
                f"{path}: time_s must hold at least one time and rise in steps of coherence_interval_s ({step_s:g} s)"
            )
        return Recording(path, file, float(step_s), interval)

    @property
    def gain_shape(self) -> tuple[int, ...]:
        """Shape of one interval's gain, [num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands]."""
        return tuple(self.file["gain"].shape[1:])

    def row(self, interval: int, *, repeat: bool) -> int:
        """Return the row of an interval; with ``repeat`` the recording starts again when it ends.

        Raises:
            UserError: that interval was not recorded.
        """
        wanted = interval % (int(self.interval[-1]) + 1) if repeat else interval
        row = int(np.searchsorted(self.interval, wanted))
        if row == len(self.interval) or self.interval[row] != wanted:
            step_s = self.coherence_interval_s
            raise UserError(
                f"{self.path}: holds {self.interval[0] * step_s:g} to {(self.interval[-1] + 1) * step_s:g} s, but the "
                f"run needs the air at {interval * step_s:g} s; record longer (`airtune record --duration`) or set "
                "channel.beyond to repeat"
            )
        return row

    def paths(self, row: int) -> PathSet | None:
        """Return the paths of one row, batch axis included, or None where none were recorded."""
        if "paths" not in self.file:
            return None
        return PathSet(gain=self.file["paths/gain"][row][None], delay_s=self.file["paths/delay_s"][row][None])


def _check(path: str, file: h5py.File) -> None:
    for name, rank in _RANKS.items():
        if not isinstance(file.get(name), h5py.Dataset):
            raise UserError(f"{path}: has no dataset {name!r}; expected {', '.join(_RANKS)}")
        if file[name].ndim != rank:
            raise UserError(f"{path}: {name} has {file[name].ndim} axes {file[name].shape}; expected {rank}")
    times, ues, _, cells, _, bands = file["gain"].shape
    expected = {
        "time_s": (times,),
        "subband_frequency_hz": (bands,),
        "ue_position_m": (times, ues, 3),
        "cell_position_m": (cells, 3),
    }
    for name, shape in expected.items():
        if file[name].shape != shape:
            raise UserError(f"{path}: {name} is {file[name].shape}; expected {shape} beside gain {file['gain'].shape}")
    if file["gain"].dtype.kind != "c":
        raise UserError(f"{path}: gain is {file['gain'].dtype}; expected complex numbers")


def write_arrays(
    path: Path,
    *,
    gain: NDArray[Any],
    subband_frequency_hz: NDArray[np.float64],
    ue_position_m: NDArray[np.float64],
    cell_position_m: NDArray[np.float64],
    coherence_interval_s: float = 5e-3,
) -> None:
    """Write arrays of one's own as a recording that starts at time 0.

    Args:
        path: of the new file.
        gain: complex amplitudes, [T, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands].
        subband_frequency_hz: relative to the carrier in Hz, [num_subbands]; a scenario's own are
            ``build_world(scenario).geometry.subband_frequency_hz``.
        ue_position_m: [T, num_rx, 3], or [num_rx, 3] for UEs that stand still.
        cell_position_m: [num_tx, 3].
        coherence_interval_s: time from one row to the next in s.
    """
    assert gain.ndim == 6, f"gain must be [T, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands], got {gain.shape}"
    positions = np.broadcast_to(ue_position_m, (gain.shape[0], gain.shape[1], 3)).astype(np.float64)
    with RecordingWriter(path, coherence_interval_s=coherence_interval_s) as writer:
        for index, (row, position_m) in enumerate(zip(gain, positions, strict=True)):
            writer.append(
                ChannelSnapshot(
                    gain=row[None].astype(np.complex64),
                    subband_frequency_hz=np.asarray(subband_frequency_hz, np.float64),
                    ue_noise_psd_w_hz=0.0,  # a recording holds no noise: it is the replaying scenario's
                    gnb_noise_psd_w_hz=0.0,
                    valid_from_s=index * coherence_interval_s,
                    valid_until_s=(index + 1) * coherence_interval_s,
                    ue_position_m=position_m[None],
                    cell_position_m=np.asarray(cell_position_m, np.float64),
                )
            )


def write_deepmimo(
    path: Path,
    cells: Sequence[Mapping[str, NDArray[Any]]],
    *,
    subcarrier_frequency_hz: NDArray[np.float64],
    subband_frequency_hz: NDArray[np.float64],
    ue_antennas: Sequence[int] = (0,),
    tx_power_w: float = 1.0,
    coherence_interval_s: float = 5e-3,
) -> None:
    """Write DeepMIMO-style matrices as a recording of one interval (Alkhateeb, arXiv 1902.06435).

    A subband takes the subcarrier nearest to its centre. Replay it with ``beyond: repeat``: the UEs stand still.

    Args:
        path: of the new file.
        cells: one mapping per cell, all over the same UEs: ``channel`` [num_ues, num_ue_ant, num_gnb_ant,
            num_subcarriers], ``rx_pos`` [num_ues, 3] and ``tx_pos`` [3] in metres.
        subcarrier_frequency_hz: frequencies of the subcarriers relative to the carrier, [num_subcarriers].
        subband_frequency_hz: see ``write_arrays``.
        ue_antennas: which antennas of the UEs to keep.
        tx_power_w: transmit power that the matrices include.
        coherence_interval_s: length of the interval in s.

    Raises:
        UserError: the cells differ in shape, or the subcarriers do not reach all subbands.
    """
    shapes = {np.shape(cell["channel"]) for cell in cells}
    if len(shapes) != 1 or len(next(iter(shapes))) != 4:
        raise UserError(f"channel must be [num_ues, num_ue_ant, num_gnb_ant, num_subcarriers] for all, got {shapes}")
    away_hz = np.abs(np.asarray(subband_frequency_hz)[:, None] - np.asarray(subcarrier_frequency_hz))
    nearest = away_hz.argmin(axis=1)
    if len(subband_frequency_hz) > 1:
        spacing_hz = float(np.diff(subband_frequency_hz).min())
        if away_hz.min(axis=1).max() > spacing_hz / 2:
            raise UserError("the subcarriers do not reach every subband; use the scenario's bandwidth for the matrices")
    gain = np.stack([cell["channel"][:, list(ue_antennas)][..., nearest] for cell in cells], axis=2)
    write_arrays(
        path,
        gain=gain[None] / np.sqrt(tx_power_w),  # [1, num_ues, num_ue_ant, num_cells, num_gnb_ant, num_subbands]
        subband_frequency_hz=subband_frequency_hz,
        ue_position_m=np.asarray(cells[0]["rx_pos"]),
        cell_position_m=np.stack([np.reshape(cell["tx_pos"], 3) for cell in cells]),
        coherence_interval_s=coherence_interval_s,
    )

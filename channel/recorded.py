"""Recorded channels: what `airtune record`, a measurement or another simulator left in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from channel.errors import UserError
from channel.model import CHANNELS, ChannelModel

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.recording import Recording
    from channel.snapshot import ChannelSnapshot


@CHANNELS.register("recorded")
class Recorded(ChannelModel):
    """Replays a channel from an HDF5 file, bit for bit.

    `airtune record` writes such files from any scenario; ``channel.recording`` documents their layout and writes
    arrays of one's own. The scenario must have the file's UEs, cells, antennas and subbands. Gains, paths and positions
    in the snapshots are the file's; noise, powers and everything above are the scenario's. It is not interpolated:
    coherence_interval_s must be the file's.
    """

    file: str = Field(min_length=1, description="path of the HDF5 file")
    beyond: Literal["stop", "repeat"] = Field(
        default="stop", description="past the recording's end: stop the run, or repeat the recording from its start"
    )

    def problems(self) -> list[str]:
        """Return a sentence if the file is missing, no recording, or of another coherence interval."""
        from channel.recording import Recording

        try:
            step_s = Recording.open(self.file).coherence_interval_s
        except UserError as error:
            return [f"`file`: {error}"]
        if step_s != self.coherence_interval_s:
            return [f"`coherence_interval_s`: {self.file} was recorded every {step_s:g} s; set it to {step_s!r}"]
        return []

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> Recording:  # noqa: ARG002
        """Return the open recording.

        Raises:
            UserError: it cannot be read, or is one of other UEs, cells, antennas or subbands.
        """
        import numpy as np

        from channel.recording import Recording

        recording = Recording.open(self.file)
        bands = geometry.subband_frequency_hz
        wanted = (
            geometry.num_ues,
            geometry.ue_array.antennas,
            geometry.num_cells,
            geometry.cell_array.num_antennas,
            len(bands),
        )
        words = ("UEs", "antennas per UE", "cells", "antennas per cell", "subbands")
        remedies = ("ues.count", "ues.antenna", "sites.layout", "sites.gnb.antenna", "radio")
        for has, needs, word, key in zip(recording.gain_shape, wanted, words, remedies, strict=True):
            if has != needs:
                raise UserError(
                    f"channel.file: {self.file} has {has} {word}, but the scenario has {needs}; change {key} or record "
                    "again"
                )
        if not np.allclose(recording.file["subband_frequency_hz"][:], bands, rtol=0, atol=1.0):
            raise UserError(
                f"channel.file: {self.file} has other subband frequencies than the scenario's carrier; "
                "use the radio section it was recorded with, or record again"
            )
        return recording

    def realise(
        self,
        geometry: Geometry,
        state: Recording,
        time_s: float,
        seed: int,  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, Recording]:
        """Return the recorded snapshot of the coherence interval that holds ``time_s``, and the unchanged state.

        Raises:
            UserError: that interval was not recorded, and ``beyond`` is not ``repeat``.
        """
        from channel.snapshot import ChannelSnapshot

        index, start_s, end_s = self.interval(time_s)
        row = state.row(index, repeat=self.beyond == "repeat")
        file = state.file
        snapshot = ChannelSnapshot(
            gain=file["gain"][row][None],
            subband_frequency_hz=file["subband_frequency_hz"][:],
            ue_noise_psd_w_hz=geometry.ue_noise_psd_w_hz,
            gnb_noise_psd_w_hz=geometry.gnb_noise_psd_w_hz,
            valid_from_s=start_s,
            valid_until_s=end_s,
            ue_position_m=file["ue_position_m"][row][None],
            cell_position_m=file["cell_position_m"][:],
            paths=state.paths(row),
        )
        return snapshot, state

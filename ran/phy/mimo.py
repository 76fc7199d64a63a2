"""MIMO modes of the downlink and uplink: layers of one UE, or several UEs on the same resources."""

from typing import Literal

from pydantic import Field

from channel.component import Settings


class Mimo(Settings):
    """Spatial multiplexing.

    ``single_user``: a group belongs to one UE, whose link carries up to ``max_rank`` layers on the strongest
    eigenmodes of its channel, as many as its report says are worth their share of the power.
    ``multi_user``: downlink groups are shared by up to ``max_streams`` UEs of one layer each, paired by
    semi-orthogonal selection and separated by ``mac.precoder``; the uplink stays single-user, of up to ``max_rank``
    layers.
    """

    mode: Literal["single_user", "multi_user"] = "single_user"
    max_rank: int = Field(default=1, ge=1, le=4, description="layers of one UE, at most its antennas")
    max_streams: int = Field(default=4, ge=1, le=16, description="UEs that share a group (multi_user)")
    correlation_limit: float = Field(
        default=0.6, gt=0.0, le=1.0, description="largest normalised correlation of paired UEs' channels"
    )

    @property
    def streams(self) -> int:
        """UEs that may share a downlink group."""
        return self.max_streams if self.mode == "multi_user" else 1

    @property
    def downlink_rank(self) -> int:
        """Layers that one UE may have in the downlink."""
        return self.max_rank if self.mode == "single_user" else 1

"""What can go wrong with a UE during a sum in the air, and how the gNB notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from channel.component import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.phy.aircomp import Superposition

CHECK_SYMBOLS = 1
"""OFDM symbols of check pilots at the end of a sum."""


class Fault(Settings):
    """Something that goes wrong with one UE in one round, to see what a sum makes of it."""

    ue: int = Field(ge=0, description="index of the UE")
    round: int = Field(ge=1, description="round, counted from 1")
    kind: Literal["phase_slip", "dropout", "overpower"] = Field(
        description="phase_slip: by pi after sounding; dropout: silent from the middle on; overpower: 20 dB too much"
    )


class Faults:
    """The faults of one round."""

    def __init__(self, faults: Sequence[Fault], number: int) -> None:
        self._of = {fault.ue: fault.kind for fault in faults if fault.round == number}

    def _are(self, kind: str, ues: NDArray[np.int64]) -> NDArray[np.float64]:
        import numpy as np

        return np.array([float(self._of.get(int(ue)) == kind) for ue in ues])

    def phase_rad(self, ues: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return by how much oscillators slipped, [num_ues]."""
        import numpy as np

        return np.pi * self._are("phase_slip", ues)

    def silent(self, ues: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return 1 for UEs that fall silent in the middle, [num_ues]."""
        return self._are("dropout", ues)

    def amplitude(self, ues: NDArray[np.int64], *, late: bool) -> NDArray[np.float64]:
        """Return the factor on what UEs meant to send, [num_ues]; ``late``: in the second half."""
        return (1.0 + 9.0 * self._are("overpower", ues)) * (1.0 - late * self.silent(ues))


def checked_gains(
    plan: Superposition, outputs: NDArray[np.complex64], combs: Sequence[NDArray[np.int64]], noise_w: float
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return the gain that every UE's check pilots arrived with over its weight, [num_ues], and its standard error.

    1 if all is well: the mean over the pilots of subcarriers on which the UE was to send; NaN where it sent on none.

    Args:
        plan: of the cell, with its own UEs.
        outputs: of the check symbols, [num_out, num_sym, num_sc].
        combs: subcarriers of every UE's pilots.
        noise_w: thermal noise in one resource element of an antenna in W.
    """
    import numpy as np

    gains, doubt = np.full(len(combs), np.nan, complex), np.full(len(combs), np.nan)
    noise = plan.noise_w(noise_w)[0]
    for place, comb in enumerate(combs):
        used = comb[plan.active[place, comb]]
        if len(used) and plan.weights[place] > 0:
            gains[place] = outputs[0][:, used].mean() / plan.weights[place]
            doubt[place] = float(np.sqrt(noise[used].sum())) / len(used) / plan.weights[place]
    return gains, doubt


def suspects(gains: NDArray[np.complex128], doubt: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Return whose gain is off by more than ``tolerance`` and four standard errors, bool [num_ues]."""
    import numpy as np

    return np.nan_to_num(np.abs(gains - 1.0) - 4.0 * doubt, nan=0.0) > tolerance

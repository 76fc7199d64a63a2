"""Who gets which resource block when packets may be lost (Chen et al., arXiv 1909.07972)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


def packet_error(
    power_w: Values, gain: Values, interference_w: Values, bandwidth_hz: float, noise_psd_w_hz: float, waterfall: float
) -> Values:
    """Return q = 1 - exp(-m (I + B N0) / (P h)), a packet's error rate under Rayleigh fading (equation 4).

    Args:
        power_w: P of each device; it and the next two broadcast.
        gain: mean h of each device.
        interference_w: I on each resource block.
        bandwidth_hz: B, of a resource block.
        noise_psd_w_hz: N0.
        waterfall: m, the SNR below which a packet is lost.
    """
    noise_w = np.asarray(interference_w) + bandwidth_hz * noise_psd_w_hz
    return np.asarray(-np.expm1(-waterfall * noise_w / (np.asarray(power_w) * gain)), np.float64)


def assign(samples: Values, error: Values, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return the resource block of every device, -1 for none, that loses the fewest samples (theorem 2).

    Minimised is sum_k K_k (1 - [k has a block] + [k has a block] q_kn), by the Hungarian method.

    Args:
        samples: K of each device, [num_devices].
        error: q of each device on each block, [num_devices, num_blocks].
        allowed: where delay and energy limits hold, likewise; None: everywhere.
    """
    saved = samples[:, None] * (1 - error)
    if allowed is not None:
        saved = np.where(allowed, saved, 0.0)
    devices, blocks = linear_sum_assignment(saved, maximize=True)
    found = np.full(len(samples), -1, np.int64)
    useful = saved[devices, blocks] > 0
    found[devices[useful]] = blocks[useful]
    return found

"""Multi-user MIMO: from paired UEs to precoded streams and the SINRs that they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from ran.threads import torch_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.phy.precoding.precoder import Precoder

_SILENT = 1e-3
"""Part of a group's power below which a stream counts as switched off."""


def precode_streams(
    precoder: Precoder, owner: NDArray[np.int32], rows: NDArray[np.complex64], noise_w: NDArray[np.float32],
    power_w: float, device: str, threads: int,
) -> NDArray[np.complex64]:  # fmt: skip
    """Return the precoders of all groups, complex64 [batch, num_cells, num_rbgs, num_tx_ant, num_streams].

    Args:
        precoder: solves all groups in one batch.
        owner: UE of every stream or -1, [batch, num_cells, num_rbgs, num_streams].
        rows: known channels to the serving cell, [batch, num_rbgs, num_ues, num_tx_ant].
        noise_w: reported noise and interference per PRB, [batch, num_ues, num_rbgs]; channels are divided by its
            root, so that a UE in more interference counts as a weaker one.
        power_w: power per PRB of a cell.
        device: where torch computes.
        threads: torch threads; compiled kernels leave torch with more than small matrices can use.
    """
    import torch

    h = np.zeros((*owner.shape, rows.shape[-1]), np.complex64)
    gather_channels(owner, rows, noise_w, h)
    with torch_threads(threads), torch.no_grad():
        v = precoder.precode(torch.from_numpy(h).to(device), 1.0, power_w)
    return np.ascontiguousarray(v.cpu().numpy())


@numba.njit(cache=True)
def gather_channels(owner, rows, noise_w, h):  # type: ignore[no-untyped-def]
    """Fill ``h`` [batch, num_cells, num_rbgs, num_streams, num_tx_ant]: channel over root of noise of every stream."""
    batch, cells, groups, streams = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                for s in range(streams):
                    u = owner[b, c, r, s]
                    if u >= 0:
                        root = np.sqrt(noise_w[b, u, r])
                        for a in range(rows.shape[3]):
                            h[b, c, r, s, a] = rows[b, r, u, a] / root


@numba.njit(cache=True)
def leave_silent(owner, v, pending, power_w):  # type: ignore[no-untyped-def]
    """Take UEs off the groups in which the precoder gives them next to nothing of ``power_w``, in place.

    A precoder that maximises the sum of rates switches streams off. A block that spans such a group would be lost, or
    carry next to nothing in all others. UEs that repeat a block, ``pending`` >= 0, keep the groups that it needs.
    """
    batch, cells, groups, streams = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                for s in range(streams):
                    u = owner[b, c, r, s]
                    if u >= 0 and pending[b, u] < 0 and _norm(v[b, c, r], s) < _SILENT * power_w:
                        owner[b, c, r, s] = -1


@numba.njit(cache=True)
def expected_channel(owner, rows, v, noise_w, power_w, gain, noise):  # type: ignore[no-untyped-def]
    """Fill what the gNB expects of its streams: gain over ``power_w`` and noise with the cell's other streams.

    ``gain`` and ``noise`` are [batch, num_ues, num_rbgs]; only scheduled places are written.
    """
    batch, cells, groups, streams = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                for s in range(streams):
                    u = owner[b, c, r, s]
                    if u < 0:
                        continue
                    noise[b, u, r] = noise_w[b, u, r]
                    for k in range(streams):
                        if owner[b, c, r, k] < 0:
                            continue
                        power = _received(rows[b, r, u], v[b, c, r], k)
                        if k == s:
                            gain[b, u, r] = power / power_w
                        else:
                            noise[b, u, r] += power


@numba.njit(cache=True)
def stream_sinrs(serving_cell, owner, owned, rows, v, near, far_w, rbg_prbs, noise_w, block, sinr):  # type: ignore[no-untyped-def]
    """Fill the SINRs of all downlink blocks under every stream that is really sent, and the power of every block.

    ``rows`` [batch, num_rbgs, num_ues, num_layers, num_cells, num_tx_ant] are the channels now, of which the first
    layer counts; ``far_w`` [batch, num_ues] the interference per PRB of cells that are not near.
    """
    batch, ues = block.shape
    for b in range(batch):
        for u in range(ues):
            if block[b, u].prbs == 0:
                continue
            own = serving_cell[b, u]
            left = block[b, u].prbs
            radiated = 0.0
            i = 0
            while left > 0:
                r = owned[b, u, i]
                left -= rbg_prbs[r]
                signal = 0.0
                total = noise_w + far_w[b, u]
                for n in range(near.shape[2]):
                    c = near[b, u, n]
                    for s in range(owner.shape[3]):
                        other = owner[b, c, r, s]
                        if other < 0 or block[b, other].prbs == 0:
                            continue
                        power = _received(rows[b, r, u, 0, c], v[b, c, r], s)
                        if other == u:
                            signal = power
                            radiated += rbg_prbs[r] * _norm(v[b, own, r], s)
                        else:
                            total += power
                sinr[b, u, i, 0] = signal / total
                i += 1
            block[b, u].prb_power_w = radiated / block[b, u].prbs


@numba.njit(cache=True)
def far_streams(serving_cell, owner, v, column, path_gain, rbg_prbs, block, far_w):  # type: ignore[no-untyped-def]
    """Fill ``far_w`` [batch, num_ues]: mean interference per PRB of cells that are not near, by what they send."""
    batch, cells, groups, streams = owner.shape
    total_prbs = rbg_prbs.sum()
    for b in range(batch):
        sent_w = np.zeros(cells)
        for c in range(cells):
            for r in range(groups):
                for s in range(streams):
                    u = owner[b, c, r, s]
                    if u >= 0 and block[b, u].prbs > 0:
                        sent_w[c] += _norm(v[b, c, r], s) * rbg_prbs[r] / total_prbs
        for u in range(block.shape[1]):
            far_w[b, u] = 0.0
            if block[b, u].prbs > 0:
                for c in range(cells):
                    if column[b, u, c] < 0:
                        far_w[b, u] += sent_w[c] * path_gain[b, u, c]


@numba.njit(cache=True)
def _received(h, v, s):  # type: ignore[no-untyped-def]
    """Return |h^T v_s|^2."""
    real = 0.0
    imag = 0.0
    for a in range(len(h)):
        real += h[a].real * v[a, s].real - h[a].imag * v[a, s].imag
        imag += h[a].real * v[a, s].imag + h[a].imag * v[a, s].real
    return real * real + imag * imag


@numba.njit(cache=True)
def _norm(v, s):  # type: ignore[no-untyped-def]
    """Return ||v_s||^2."""
    total = 0.0
    for a in range(len(v)):
        total += v[a, s].real * v[a, s].real + v[a, s].imag * v[a, s].imag
    return total

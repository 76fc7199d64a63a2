"""The same downlink slot assembled from Sionna's own scheduler, link adaptation and PHY abstraction: our yardstick.

Beams and channel are those of our loop (a BeamTable), so that the two differ only in what computes a slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from channel.sionna_adapter import sionna_state

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SionnaSlotLoop:
    """Proportional fair SU-MIMO downlink over a cached channel, every cell with equally many UEs.

    Args:
        cross: power gains between UEs and beams, float32 [num_prbs, num_ues, num_ues]; UE u is served by
            cell u // ues_per_cell.
        num_cells: cells.
        prb_power_w: transmit power per PRB, W.
        noise_w: noise per PRB, W.
        re_per_prb: data resource elements per PRB and slot.
    """

    def __init__(
        self, cross: NDArray[np.float32], num_cells: int, prb_power_w: float, noise_w: float, re_per_prb: int
    ) -> None:
        with sionna_state(seed=0):
            import torch
            from sionna.sys import EESM, OuterLoopLinkAdaptation, PFSchedulerSUMIMO, PHYAbstraction

            self._torch = torch
            num_prbs, num_ues, _ = cross.shape
            self._cells, self._per_cell, self._prbs = num_cells, num_ues // num_cells, num_prbs
            self._phy: Any = PHYAbstraction(device="cpu")
            self._eesm: Any = EESM(device="cpu")
            self._link: Any = OuterLoopLinkAdaptation(self._phy, self._per_cell, batch_size=num_cells, device="cpu")
            self._scheduler: Any = PFSchedulerSUMIMO(
                self._per_cell, num_prbs, num_ofdm_sym=1, batch_size=num_cells, device="cpu"
            )
            self._received = torch.from_numpy(cross) * prb_power_w  # [num_prbs, num_ues (v), num_ues (beam)]
        self._noise_w, self._re_per_prb = noise_w, re_per_prb
        self._prb = torch.arange(num_prbs)
        self._cell_start = torch.arange(num_cells) * self._per_cell
        own = torch.diagonal(self._received, dim1=1, dim2=2)  # [num_prbs, num_ues]
        rate = torch.log2(1 + own / noise_w)
        # [num_cells, num_ofdm_sym = 1, num_prbs, num_ues_per_cell]
        self._rate = rate.T.reshape(num_cells, self._per_cell, 1, num_prbs).permute(0, 2, 3, 1).contiguous()
        self._last_bits = torch.zeros(num_cells, self._per_cell)
        self._feedback: Any = None
        self._sinr_eff: Any = None

    def run(self, num_slots: int) -> float:
        """Run slots with PyTorch on one thread; return the delivered bits."""
        torch = self._torch
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                return sum(self._slot() for _ in range(num_slots))
        finally:
            torch.set_num_threads(threads)

    def _slot(self) -> float:
        torch = self._torch
        scheduled = self._scheduler(self._last_bits, self._rate)[:, 0, :, :, 0]  # [num_cells, num_prbs, ues per cell]
        owner = scheduled.int().argmax(dim=-1) + self._cell_start[:, None]  # [num_cells, num_prbs]
        # Power that each scheduled UE receives from every cell's beam: [num_prbs, num_cells, num_cells].
        at_owner = self._received[self._prb[:, None, None], owner.T[:, :, None], owner.T[:, None, :]]
        signal = torch.diagonal(at_owner, dim1=1, dim2=2)
        sinr = signal / (at_owner.sum(dim=2) - signal + self._noise_w)  # [num_prbs, num_cells]
        # [num_cells, num_ofdm_sym = 1, num_prbs, ues per cell, streams = 1]
        per_ue = (sinr.T[:, :, None] * scheduled)[:, None, :, :, None]
        num_re = scheduled.sum(dim=1).int() * self._re_per_prb
        mcs = self._link(num_re, harq_feedback=self._feedback, sinr_eff=self._sinr_eff, mcs_category=1)
        self._sinr_eff = self._eesm(per_ue, mcs, mcs_table_index=1)
        bits, self._feedback, *_ = self._phy(
            mcs,
            sinr_eff=self._sinr_eff,
            num_allocated_re=num_re,
            mcs_table_index=1,
            mcs_category=1,
            check_mcs_index_validity=False,
        )
        self._last_bits = bits.float()
        return float(bits.sum())

"""From SINRs to block errors: Sionna's MCS, TBS, EESM and BLER tables, laid out for the compiled slot loop.

TS 38.214 clause 6.1.4.1 gives CP-OFDM uplinks the same MCS tables as the downlink, so one set serves both.
(Sionna 2.2's own ``PUSCH_table2`` decodes 2.4 bit/s/Hz at -1 dB, 7 dB better than Shannon allows; it is not used.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PDSCH = 1

MAX_PRBS = 275


@dataclass(frozen=True)
class LinkTables:
    """Everything the slot loop looks up about one MCS table (TS 38.214 table 5.1.3.1-1 or -2).

    Attributes:
        efficiency: information bits per resource element, Q_m R, [num_mcs].
        code_rate: R, [num_mcs].
        beta: EESM parameter, [num_mcs].
        bler: code block error rate by MCS, code block size and SINR; 1 where Sionna has no curve,
            [num_mcs, num_cbs, num_snr].
        first_mcs: lowest MCS that has a curve.
        transport_block_bits, code_block_bits, num_code_blocks: by data REs per PRB (index into ``re_per_prb``),
            MCS and PRBs, int32 [num_re, num_mcs, num_prbs + 1].
        re_per_prb: the RE counts that the tables were made for, summed over layers: TS 38.214 clause 5.1.3.2 sizes
            v layers of N REs as one of v N.
    """

    efficiency: NDArray[np.float64]
    code_rate: NDArray[np.float64]
    beta: NDArray[np.float64]
    bler: NDArray[np.float32]
    first_mcs: int
    transport_block_bits: NDArray[np.int32]
    code_block_bits: NDArray[np.int32]
    num_code_blocks: NDArray[np.int32]
    re_per_prb: NDArray[np.int32]


@lru_cache(maxsize=8)
def link_tables(mcs_table: int, re_per_prb: tuple[int, ...]) -> LinkTables:
    """Return the tables of ``mcs_table`` (1 or 2) for slots with these data REs per PRB, from Sionna's own objects."""
    from channel.sionna_adapter import sionna_state

    with sionna_state(seed=0):
        import torch
        from sionna.phy.nr.utils import calculate_tb_size, decode_mcs_index
        from sionna.sys import PHYAbstraction

        phy = PHYAbstraction(device="cpu")
        bler = phy.bler_table_interp[_PDSCH, mcs_table - 1].numpy()
        has_curve = np.isfinite(bler).all(axis=(1, 2))
        num_mcs = int(np.nonzero(has_curve)[0].max()) + 1
        mcs = torch.arange(num_mcs, dtype=torch.int32)
        order, rate = decode_mcs_index(mcs, table_index=mcs_table, is_pusch=False, device="cpu")
        shape = (len(re_per_prb), num_mcs, MAX_PRBS + 1)
        data_re = torch.tensor(re_per_prb, dtype=torch.int32)[:, None, None] * torch.arange(
            MAX_PRBS + 1, dtype=torch.int32
        )
        coded_bits = (data_re * order[None, :, None]).expand(shape)
        tb_bits, cb_bits, num_cbs, *_ = calculate_tb_size(
            order[None, :, None].expand(shape).contiguous(),
            rate[None, :, None].expand(shape).contiguous(),
            num_coded_bits=coded_bits.contiguous(),
            return_cw_length=False,
            device="cpu",
        )
        beta = phy._sinr_effective_fun.beta_tensor[mcs_table - 1, :num_mcs].double().numpy()
    tb_bits = torch.where(coded_bits > 0, tb_bits, 0)
    return LinkTables(
        efficiency=(order.double() * rate.double()).numpy(),
        code_rate=rate.double().numpy(),
        beta=beta.copy(),
        bler=np.where(np.isfinite(bler[:num_mcs]), bler[:num_mcs], 1.0).astype(np.float32),
        first_mcs=int(np.nonzero(has_curve)[0].min()),
        transport_block_bits=np.ascontiguousarray(tb_bits.numpy().astype(np.int32)),
        code_block_bits=np.ascontiguousarray(cb_bits.numpy().astype(np.int32)),
        num_code_blocks=np.ascontiguousarray(num_cbs.numpy().astype(np.int32)),
        re_per_prb=np.array(re_per_prb, np.int32),
    )

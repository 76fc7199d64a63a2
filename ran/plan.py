"""A world unfolded into the arrays that compiled slot code reads: one plan per direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.numerology import SYMBOLS_PER_SLOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.mac.scheduler import Scheduler
    from ran.phy.link_abstraction import LinkTables
    from ran.world import World


@dataclass(frozen=True)
class LinkPlan:
    """Constants of one direction.

    Attributes:
        params: PARAMS_DTYPE [1].
        keys: keys of the decoding draws, int64 [batch].
        rbg_prbs: PRBs of every resource block group, int32 [num_rbgs].
        re_per_prb: data REs of one PRB by slot kind, int32 [num_re].
        noise_w: receiver noise in one PRB, watts.
    """

    params: NDArray[Any]
    keys: NDArray[np.int64]
    scheduler: Scheduler
    tables: LinkTables
    rbg_prbs: NDArray[np.int32]
    re_per_prb: NDArray[np.int32]
    noise_w: float
    num_cells: int

    @property
    def num_rbgs(self) -> int:
        """Number of resource block groups."""
        return len(self.rbg_prbs)

    @property
    def num_prbs(self) -> int:
        """Number of PRBs."""
        return int(self.rbg_prbs.sum())


@dataclass(frozen=True)
class KindIndex:
    """Where a slot's RE-per-PRB counts stand in the tables (-1 where the direction is silent), and its symbols."""

    downlink: int
    uplink: int
    downlink_symbols: int
    uplink_symbols: int


@dataclass(frozen=True)
class SlotPlan:
    """Both directions and the TDD period."""

    downlink: LinkPlan
    uplink: LinkPlan
    kinds: tuple[KindIndex, ...]
    slot_s: float
    prb_hz: float

    @property
    def symbol_s(self) -> float:
        """Mean duration of an OFDM symbol, cyclic prefix included, in seconds."""
        return self.slot_s / SYMBOLS_PER_SLOT

    @staticmethod
    def of(world: World) -> SlotPlan:
        """Return the plan of a world."""
        tables = world.tables()
        where = {re: index for index, re in enumerate(tables.re_per_prb)}

        def link(direction: str, noise_psd_w_hz: float) -> LinkPlan:
            return LinkPlan(
                params=world.params(direction),
                keys=world.harq_keys(direction),
                scheduler=world.scheduler,
                tables=tables,
                rbg_prbs=np.array(world.numerology.rbg_sizes(), np.int32),
                re_per_prb=np.array(tables.re_per_prb, np.int32),
                noise_w=noise_psd_w_hz * world.numerology.prb_hz,
                num_cells=world.num_cells,
            )

        return SlotPlan(
            downlink=link("downlink", world.geometry.ue_noise_psd_w_hz),
            uplink=link("uplink", world.geometry.gnb_noise_psd_w_hz),
            kinds=tuple(
                KindIndex(
                    where.get(kind.downlink_re, -1),
                    where.get(kind.uplink_re, -1),
                    kind.downlink_symbols,
                    kind.uplink_symbols,
                )
                for kind in world.numerology.kinds()
            ),
            slot_s=world.numerology.slot_s,
            prb_hz=world.numerology.prb_hz,
        )

"""A world unfolded into the arrays that compiled slot code reads: one plan per direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.mac.cqi import cqi_thresholds
from ran.numerology import SYMBOLS_PER_SLOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.mac.scheduler import Scheduler
    from ran.phy.link_abstraction import LinkTables
    from ran.phy.mimo import Mimo
    from ran.phy.precoding.precoder import Precoder
    from ran.world import World


SLICE_DTYPE = np.dtype([("share", "f8"), ("unacknowledged", "i8")], align=True)


@dataclass(frozen=True)
class LinkPlan:
    """Constants of one direction.

    Attributes:
        params: PARAMS_DTYPE [1].
        keys: keys of the decoding draws, int64 [batch].
        schedulers: one per slice.
        slices: SLICE_DTYPE [num_slices].
        tables: sizes by slot kind and layers: row ``kind x layers + rank - 1``.
        rbg_prbs: PRBs of every resource block group, int32 [num_rbgs].
        re_per_prb: data REs of one PRB and layer by slot kind, int32 [num_re].
        noise_w: receiver noise in one PRB, watts.
        processes: HARQ processes of a UE.
        cqi_thresholds: least SINR of every CQI, float64 [16]; None where reports are not quantised.
        cqi_wideband: whether one CQI stands for the whole band.
        layers: layers that tables are made for.
        max_rank: most layers of a UE.
        streams: most UEs in a group.
    """

    params: NDArray[Any]
    keys: NDArray[np.int64]
    schedulers: tuple[Scheduler, ...]
    slices: NDArray[Any]
    tables: LinkTables
    rbg_prbs: NDArray[np.int32]
    re_per_prb: NDArray[np.int32]
    noise_w: float
    num_cells: int
    processes: int
    cqi_thresholds: NDArray[np.float64] | None
    cqi_wideband: bool
    layers: int
    max_rank: int
    streams: int

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return len(self.slices)

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
    """Both directions, the TDD period, and how cells use their antennas."""

    downlink: LinkPlan
    uplink: LinkPlan
    kinds: tuple[KindIndex, ...]
    slot_s: float
    prb_hz: float
    mimo: Mimo
    precoder: Precoder | None
    interfering_cells: int | None
    device: str
    threads: int

    @property
    def symbol_s(self) -> float:
        """Mean duration of an OFDM symbol, cyclic prefix included, in seconds."""
        return self.slot_s / SYMBOLS_PER_SLOT

    @staticmethod
    def of(world: World) -> SlotPlan:
        """Return the plan of a world."""
        grid, radio = world.numerology, world.radio
        where = {re: index for index, re in enumerate(world.re_per_prb())}
        return SlotPlan(
            downlink=_link(world, "downlink", world.geometry.ue_noise_psd_w_hz),
            uplink=_link(world, "uplink", world.geometry.gnb_noise_psd_w_hz),
            kinds=tuple(
                KindIndex(
                    where.get(kind.downlink_re, -1),
                    where.get(kind.uplink_re, -1),
                    kind.downlink_symbols,
                    kind.uplink_symbols,
                )
                for kind in grid.kinds()
            ),
            slot_s=grid.slot_s,
            prb_hz=grid.prb_hz,
            mimo=radio.mimo,
            precoder=radio.precoder if radio.mimo.mode == "multi_user" else None,
            interfering_cells=radio.interfering_cells,
            device=world.torch_device,
            threads=world.threads,
        )


def _link(world: World, direction: str, noise_psd_w_hz: float) -> LinkPlan:
    tables, adaptation = world.tables(), world.radio.link_adaptation
    # A gNB measures uplinks itself: only downlink reports are quantised.
    quantised = direction == "downlink" and adaptation.cqi != "unquantised"
    slices = np.zeros(len(world.slices), SLICE_DTYPE)
    slices["share"] = [part.share for part in world.slices.values()]
    slices["unacknowledged"] = [(part.rlc_mode or world.radio.rlc.mode) == "um" for part in world.slices.values()]
    return LinkPlan(
        params=world.params(direction),
        keys=world.harq_keys(direction),
        schedulers=tuple(part.scheduler or world.scheduler for part in world.slices.values()),
        slices=slices,
        tables=tables,
        rbg_prbs=np.array(world.numerology.rbg_sizes(), np.int32),
        re_per_prb=np.array(world.re_per_prb(), np.int32),
        noise_w=noise_psd_w_hz * world.numerology.prb_hz,
        num_cells=world.num_cells,
        processes=world.radio.harq.processes,
        cqi_thresholds=cqi_thresholds(tables, adaptation.mcs_table, world.numerology.num_prbs) if quantised else None,
        cqi_wideband=adaptation.cqi == "wideband",
        layers=world.radio.mimo.max_rank,
        max_rank=world.radio.mimo.downlink_rank if direction == "downlink" else world.radio.mimo.max_rank,
        streams=world.radio.mimo.streams if direction == "downlink" else 1,
    )

"""The world of a run: everything that a slot needs and no slot changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.seeding import stream_key
from channel.units import dbm_to_watt
from ran.fidelity import Fidelity
from ran.handover import Handover
from ran.mac.sharing import Fixed, Sharing
from ran.mac.slicing import Slice
from ran.phy.link_abstraction import LinkTables, link_tables
from ran.phy.mimo import Mimo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.model import ChannelModel
    from ran.energy import GnbPower
    from ran.mac.harq import Harq
    from ran.mac.link_adaptation import LinkAdaptation
    from ran.mac.scheduler import Scheduler
    from ran.nodes import DeviceProfile
    from ran.numerology import Numerology
    from ran.phy.power_control import PowerControl
    from ran.phy.precoding.precoder import Precoder
    from ran.rlc import Rlc
    from ran.traffic.traffic import Traffic

# Numbers that compiled code reads, one record per direction.
PARAMS_DTYPE = np.dtype(
    [
        ("uplink", "i8"),
        ("prb_power_w", "f8"),  # downlink power per PRB
        ("max_power_w", "f8"),  # uplink
        ("p0_w", "f8"),
        ("alpha", "f8"),
        ("bler_target", "f8"),
        ("olla_step_db", "f8"),
        ("olla_up_db", "f8"),
        ("olla_range_db", "f8"),
        ("first_mcs", "i8"),
        ("max_attempts", "i8"),
        ("feedback_slots", "i8"),
        ("status_slots", "i8"),
        ("sdu_bytes", "i8"),
        ("combining", "i8"),  # of HARQ attempts: see ran.phy.harq_combining
    ],
    align=True,
)


@dataclass(frozen=True)
class Radio:
    """The radio settings that both directions share: powers in dBm, policies of MAC and RLC.

    ``precoder`` serves multi-user MIMO. ``interfering_cells`` limits interference to so many of the strongest cells
    of every UE (None: all); the others count by the mean of what they send.
    """

    gnb_tx_power_dbm: float
    ue_tx_power_dbm: float
    link_adaptation: LinkAdaptation
    harq: Harq
    power_control: PowerControl
    rlc: Rlc
    mimo: Mimo = Mimo()  # noqa: RUF009 - frozen
    precoder: Precoder | None = None
    interfering_cells: int | None = None


LEARNING = "learning"
"""The slice of learning payloads; always the first."""


@dataclass(frozen=True)
class World:
    """Cells, UEs and policies, laid out for the slot loop.

    Attributes:
        numerology: the time-frequency grid.
        geometry: positions, antennas, noise densities.
        channel: the channel model.
        seeds: one seed per replica; replica b behaves as the same world run alone with that seed, [batch].
        scheduler: shared by downlink and uplink and by slices without one, each with a state of its own.
        radio: powers and policies.
        devices: processor and power supply of every UE, [num_ues].
        gnb_power: power supply of a cell.
        slices: by name, LEARNING first.
        traffic: background flows, each in one of the slices.
        handover: mobility management.
        fidelity: every slot, or samples of slots.
        sharing: how slices' shares move.
        round_s: time in which a round's updates are wanted; inf: nobody said.
        torch_device: where channels are drawn, "cpu" or "cuda:N".
        threads: threads for drawing channels.
    """

    numerology: Numerology
    geometry: Geometry
    channel: ChannelModel
    seeds: tuple[int, ...]
    scheduler: Scheduler
    radio: Radio
    devices: Sequence[DeviceProfile]
    gnb_power: GnbPower
    slices: dict[str, Slice] = field(default_factory=lambda: {LEARNING: Slice(share=1.0)})
    traffic: tuple[Traffic, ...] = ()
    handover: Handover = Handover(mode="off")  # noqa: RUF009 - frozen
    fidelity: Fidelity = Fidelity()  # noqa: RUF009 - frozen
    sharing: Sharing = Fixed()  # noqa: RUF009 - frozen
    round_s: float = math.inf
    torch_device: str = "cpu"
    threads: int = 1

    @property
    def batch(self) -> int:
        """Number of replicas."""
        return len(self.seeds)

    @property
    def num_ues(self) -> int:
        """Number of UEs."""
        return self.geometry.num_ues

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return self.geometry.num_cells

    def tables(self) -> LinkTables:
        """Return the link tables of this grid's slot kinds, each with 1 to ``mimo.max_rank`` layers (cached)."""
        layers = range(1, self.radio.mimo.max_rank + 1)
        sizes = tuple(re * count for re in self.re_per_prb() for count in layers)
        return link_tables(self.radio.link_adaptation.mcs_table, sizes)

    def re_per_prb(self) -> tuple[int, ...]:
        """Return the data REs per PRB and layer that occur in the TDD period, each once, zero left out."""
        kinds = self.numerology.kinds()
        return tuple(sorted({re for kind in kinds for re in (kind.downlink_re, kind.uplink_re) if re}))

    def params(self, direction: str) -> NDArray[Any]:
        """Return the PARAMS_DTYPE record, shape [1], of ``"downlink"`` or ``"uplink"``."""
        adaptation, harq = self.radio.link_adaptation, self.radio.harq
        record = np.zeros(1, PARAMS_DTYPE)
        record["uplink"] = direction == "uplink"
        record["prb_power_w"] = dbm_to_watt(self.radio.gnb_tx_power_dbm) / self.numerology.num_prbs
        record["max_power_w"] = dbm_to_watt(self.radio.ue_tx_power_dbm)
        record["p0_w"] = dbm_to_watt(self.radio.power_control.p0_dbm)
        record["alpha"] = self.radio.power_control.alpha
        record["bler_target"] = adaptation.bler_target
        record["olla_step_db"] = adaptation.olla_step_db
        record["olla_up_db"] = adaptation.olla_step_db * adaptation.bler_target / (1.0 - adaptation.bler_target)
        record["olla_range_db"] = adaptation.olla_range_db
        record["first_mcs"] = self.tables().first_mcs
        record["max_attempts"] = harq.max_attempts
        record["feedback_slots"] = harq.feedback_slots
        record["status_slots"] = self.radio.rlc.status_slots
        record["sdu_bytes"] = self.radio.rlc.sdu_bytes
        record["combining"] = harq.combining == "incremental_redundancy"
        return record

    def harq_keys(self, direction: str) -> NDArray[np.int64]:
        """Return the keys of the replicas' decoding draws, [batch]."""
        return np.array([stream_key(seed, "harq", direction) for seed in self.seeds], np.int64)

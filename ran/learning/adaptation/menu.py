"""What a UE of a split network may choose from, and what each choice costs it: time, energy, memory, bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ran.energy import compute_energy_j, receive_energy_j, transmit_energy_j
from ran.learning.pipeline.elastic import BACKWARD_OVER_FORWARD
from ran.learning.pipeline.stages import Stage, fill_drain_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.nodes import DeviceProfile

Place = tuple[int, int, int]
"""Cut, width and quantiser, by their places in the menu."""


@dataclass(frozen=True)
class CutOption:
    """A place to cut the network in two.

    Attributes:
        after: layers of the UE's part.
        ue_flops, server_flops: forward FLOPs of one sample in each part.
        memory_bytes: that training of the UE's part takes, a batch's activations included.
        values: numbers of one sample that cross at full width, each way.
        uplink_aside_bytes, downlink_aside_bytes: of one sample beside them, such as its label, or its reported loss.
        side_bytes: the UE's part itself, which goes down before the first batch and up after the last.
    """

    after: int
    ue_flops: float
    server_flops: float
    memory_bytes: float
    values: int
    uplink_aside_bytes: float = 0.0
    downlink_aside_bytes: float = 0.0
    side_bytes: float = 0.0


@dataclass(frozen=True)
class Quantiser:
    """How tensors cross: name of the compressor, bits of a value, and of a sample's scale beside its values.

    ``gradient_bits`` and ``gradient_sample_bits`` are those on the way down, where they are others than on the way up.
    """

    name: str
    bits: float
    sample_bits: float = 0.0
    gradient_bits: float | None = None
    gradient_sample_bits: float | None = None


@dataclass(frozen=True)
class Work:
    """What a UE has to do in a round.

    Attributes:
        batches: of its local training.
        batch_size: samples of each, on average.
        micro_batches: into which a batch is cut; they overlap UE, air and server.
        server_flops_per_s: of the server, for this UE.
        transmit_power_w: radiated.
    """

    batches: int
    batch_size: float
    micro_batches: int
    server_flops_per_s: float
    transmit_power_w: float


@dataclass(frozen=True)
class Situation:
    """What is known of one UE when a round starts.

    Attributes:
        device: its processor, memory and radio.
        uplink_bit_s, downlink_bit_s: rates measured, e.g. from its last channel report and share of the cell.
        deadline_s: time by which its part of the round should be over.
        sharers: UEs among which its cell's band was shared out to get these rates, itself included.
    """

    device: DeviceProfile
    uplink_bit_s: float
    downlink_bit_s: float
    deadline_s: float
    sharers: int = 1


@dataclass(frozen=True)
class Cost:
    """What one choice is predicted to take in one round."""

    time_s: float
    energy_j: float
    memory_bytes: float
    uplink_bytes: float
    downlink_bytes: float


@dataclass(frozen=True)
class Menu:
    """All cuts, widths and quantisers, and how good each combination is.

    Attributes:
        cuts, widths, quantisers: what there is; widths are parts of the values sent, in (0, 1].
        quality: of each combination, higher is better, float [num_cuts, num_widths, num_quantisers]: accuracies or
            whatever else was measured beforehand. What is equal in it is decided by time.
        work: of a round.
    """

    cuts: tuple[CutOption, ...]
    widths: tuple[float, ...]
    quantisers: tuple[Quantiser, ...]
    quality: NDArray[np.float64]
    work: Work

    def __post_init__(self) -> None:
        if self.quality.shape != self.sizes:
            raise ValueError(
                f"quality of shape {self.quality.shape} for a menu of {self.sizes}; give one a combination"
            )

    @property
    def sizes(self) -> Place:
        """Numbers of cuts, widths and quantisers: an agent's multi-discrete action space."""
        return len(self.cuts), len(self.widths), len(self.quantisers)

    def places(self) -> Iterator[Place]:
        """Yield every combination."""
        cuts, widths, quantisers = map(range, self.sizes)
        yield from product(cuts, widths, quantisers)

    def cost(self, place: Place, situation: Situation) -> Cost:
        """Return the cost of a choice for a UE: a batch is a pipeline UE, uplink, server, downlink (``fill_drain_s``).

        Batches follow each other; before the first the UE's part comes down, after the last it goes up.
        Energy is the UE's: kappa f^2 a cycle for training its part, its transmitter and its receiver while they work.
        """
        cut, work, device = self.cuts[place[0]], self.work, situation.device
        each = work.batch_size / work.micro_batches
        up_bits, down_bits = sample_bits(cut, self.quantisers[place[2]], self.widths[place[1]])
        ue_s = each * cut.ue_flops / (device.flops_per_cycle * device.clock_hz)
        server_s = each * cut.server_flops / work.server_flops_per_s
        up_s, down_s = each * up_bits / situation.uplink_bit_s, each * down_bits / situation.downlink_bit_s
        side_up_s, side_down_s = (
            8 * cut.side_bytes / rate for rate in (situation.uplink_bit_s, situation.downlink_bit_s)
        )
        stages = (
            Stage("UE", ue_s, "UE", BACKWARD_OVER_FORWARD * ue_s),
            Stage("uplink", up_s, "downlink", down_s),
            Stage("server", server_s, "server", BACKWARD_OVER_FORWARD * server_s),
        )
        passes = work.batches * work.micro_batches
        flops = (1 + BACKWARD_OVER_FORWARD) * cut.ue_flops * work.batches * work.batch_size
        sending_s, receiving_s = passes * up_s + side_up_s, passes * down_s + side_down_s
        energy_j = compute_energy_j(device, flops) + receive_energy_j(device, receiving_s)
        energy_j += transmit_energy_j(device, sending_s, work.transmit_power_w * sending_s)
        uplink_bytes, downlink_bytes = (passes * each * bits / 8 + cut.side_bytes for bits in (up_bits, down_bits))
        time_s = side_down_s + work.batches * fill_drain_s(stages, work.micro_batches) + side_up_s
        return Cost(time_s, energy_j, cut.memory_bytes, uplink_bytes, downlink_bytes)

    def fits(self, situation: Situation) -> NDArray[np.bool_]:
        """Return which choices fit the UE's memory, [num_cuts, num_widths, num_quantisers]: an agent's action mask."""
        fitting = [cut.memory_bytes <= situation.device.memory_bytes for cut in self.cuts]
        return np.broadcast_to(np.array(fitting)[:, None, None], self.sizes)


def sample_bits(cut: CutOption, quantiser: Quantiser, width: float) -> tuple[float, float]:
    """Return the bits of one sample on its way up, and of its gradients on their way down, all that goes along."""
    values, down, down_sample = cut.values * width, quantiser.gradient_bits, quantiser.gradient_sample_bits
    up_bits = values * quantiser.bits + quantiser.sample_bits
    down_bits = values * (quantiser.bits if down is None else down)
    down_bits += quantiser.sample_bits if down_sample is None else down_sample
    return up_bits + 8 * cut.uplink_aside_bytes, down_bits + 8 * cut.downlink_aside_bytes

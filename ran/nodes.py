"""UE and gNB nodes: radio and processor of each, and which UE is which kind of device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from channel.component import Settings
from channel.quantities import ClockHz, PowerW
from channel.seeding import stream

DeviceClass = Literal["phone", "laptop", "vehicle", "sensor"]

# Round figures of common devices, to be replaced by measured ones where they matter; batteries of 15 (phone), 60 and
# 5 Wh. The phone's are the defaults of the fields.
_CLASSES: dict[str, dict[str, float | None]] = {
    "phone": {},
    "laptop": {
        "clock_hz": 3e9, "flops_per_cycle": 32.0, "kappa": 1e-27, "memory_bytes": 12e9, "battery_j": 216e3,
    },
    "vehicle": {
        "clock_hz": 2e9, "flops_per_cycle": 256.0, "kappa": 4e-27, "memory_bytes": 24e9, "battery_j": None,
    },
    "sensor": {
        "clock_hz": 4e8, "flops_per_cycle": 2.0, "kappa": 3e-27, "memory_bytes": 128e6, "battery_j": 18e3,
        "transmit_circuit_w": 0.1, "receive_w": 0.1,
    },
}  # fmt: skip


class DeviceProfile(Settings):
    """A UE's processor, memory and power supply.

    Computation costs kappa f^2 joules a cycle (P = kappa f^3) and FLOPs / (flops_per_cycle f) seconds;
    transmission costs the radiated power over the amplifier's efficiency plus a constant. ``device_class`` sets every
    field that is not given; the defaults shown are those of a phone.
    """

    device_class: DeviceClass = "phone"
    clock_hz: ClockHz = 2e9
    flops_per_cycle: float = Field(default=8.0, gt=0, le=1e5, description="FLOPs that training sustains per cycle")
    kappa: float = Field(default=1e-28, gt=0, lt=1e-20, description="switched capacitance, W/Hz^3")
    amplifier_efficiency: float = Field(default=0.35, gt=0, le=1, description="radiated over consumed power")
    transmit_circuit_w: PowerW = 0.2
    receive_w: PowerW = 0.5
    memory_bytes: float = Field(default=4e9, gt=0, le=1e15, description="memory that training may take, bytes")
    battery_j: float | None = Field(
        default=54e3, gt=0, le=1e12, description="energy of the battery, joules; null: on mains"
    )

    @property
    def compute_power_w(self) -> float:
        """Power while computing, kappa f^3, in watts."""
        return self.kappa * self.clock_hz**3

    @model_validator(mode="before")
    @classmethod
    def _of_its_class(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**_CLASSES.get(str(given.get("device_class")), {}), **given}

    @model_validator(mode="after")
    def _plausible(self) -> DeviceProfile:
        if self.device_class == "phone" and self.compute_power_w > 5.0:
            raise ValueError(
                f"a phone cannot burn {self.compute_power_w:.3g} W computing (kappa f^3 with kappa={self.kappa:g}, "
                f"f={self.clock_hz:g} Hz, limit 5 W); lower kappa or clock_hz, or set device_class"
            )
        return self


class DeviceShare(DeviceProfile):
    """One kind of device among the UEs, and how many of them are of it."""

    share: float = Field(default=1.0, gt=0, le=1e6, description="UEs of this kind, relative to the other kinds' shares")


def assign(mix: Sequence[DeviceShare], num_ues: int, seed: int) -> list[DeviceProfile]:
    """Return the device of every UE: counts as near to the shares as whole UEs allow, dealt at random.

    Largest-remainder rounding, so counts are off by less than one UE; equal arguments give equal lists.
    """
    assert mix, "a mix names one device at least"
    total = sum(kind.share for kind in mix)
    exact = [num_ues * kind.share / total for kind in mix]
    counts = [int(count) for count in exact]
    by_remainder = sorted(range(len(mix)), key=lambda index: counts[index] - exact[index])
    for index in by_remainder[: num_ues - sum(counts)]:
        counts[index] += 1
    kinds = [index for index, count in enumerate(counts) for _ in range(count)]
    return [mix[kinds[place]] for place in stream(seed, "devices").permutation(num_ues)]


def empty_batteries(devices: Sequence[DeviceProfile], spent_j: Sequence[float]) -> frozenset[int]:
    """Return the UEs that have spent what their battery held, given the joules that each has spent so far."""
    return frozenset(
        ue
        for ue, (device, spent) in enumerate(zip(devices, spent_j, strict=True))
        if device.battery_j is not None and spent >= device.battery_j
    )


def memory_problem(devices: Sequence[DeviceProfile], needed_bytes: float) -> str | None:
    """Return why training that takes ``needed_bytes`` does not fit into every UE's memory, or None if it does."""
    short = [device for device in devices if device.memory_bytes < needed_bytes]
    if not short:
        return None
    least = min(short, key=lambda device: device.memory_bytes)
    return (
        f"training takes {needed_bytes / 1e6:.1f} MB (weights, gradients, optimiser, activations of one batch), but "
        f"{len(short)} of {len(devices)} UEs have less, down to the {least.device_class}'s "
        f"{least.memory_bytes / 1e6:.1f} MB; lower learning.algorithm.batch_size, train an adapter "
        "(learning.adapter), choose a smaller learning.model or raise memory_bytes of that device"
    )

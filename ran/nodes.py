"""UE and gNB nodes: radio and processor of each."""

from typing import Literal

from pydantic import Field, model_validator

from channel.component import Settings
from channel.quantities import ClockHz, PowerW


class DeviceProfile(Settings):
    """A UE's processor and power supply.

    Computation costs kappa f^2 joules a cycle (P = kappa f^3) and FLOPs / (flops_per_cycle f) seconds;
    transmission costs the radiated power over the amplifier's efficiency plus a constant.
    """

    device_class: Literal["phone", "laptop", "vehicle", "sensor"] = "phone"
    clock_hz: ClockHz = 2e9
    flops_per_cycle: float = Field(default=8.0, gt=0, le=1e5, description="FLOPs that training sustains per cycle")
    kappa: float = Field(default=1e-28, gt=0, lt=1e-20, description="switched capacitance, W/Hz^3")
    amplifier_efficiency: float = Field(default=0.35, gt=0, le=1, description="radiated over consumed power")
    transmit_circuit_w: PowerW = 0.2
    receive_w: PowerW = 0.5

    @property
    def compute_power_w(self) -> float:
        """Power while computing, kappa f^3, in watts."""
        return self.kappa * self.clock_hz**3

    @model_validator(mode="after")
    def _plausible(self) -> "DeviceProfile":
        if self.device_class == "phone" and self.compute_power_w > 5.0:
            raise ValueError(
                f"a phone cannot burn {self.compute_power_w:.3g} W computing (kappa f^3 with kappa={self.kappa:g}, "
                f"f={self.clock_hz:g} Hz, limit 5 W); lower kappa or clock_hz, or set device_class"
            )
        return self

"""Energy of UEs and gNBs: radiated power over the amplifier, circuits while active, and computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.component import Settings
from channel.quantities import PowerW

if TYPE_CHECKING:
    from ran.nodes import DeviceProfile


class GnbPower(Settings):
    """Linear base station model: P = P0 + slope P_out while a slot is in use.

    Defaults are those of a micro cell (Auer et al., IEEE Wireless Communications 2011): 56 W and 2.6.
    """

    static_w: PowerW = 56.0
    slope: float = Field(default=2.6, ge=1.0, le=20.0, description="consumed over radiated power")

    def energy_j(self, active_s: float, radiated_j: float) -> float:
        """Return joules for ``active_s`` seconds in use, of which ``radiated_j`` were radiated."""
        return self.static_w * active_s + self.slope * radiated_j


def transmit_energy_j(device: DeviceProfile, active_s: float, radiated_j: float) -> float:
    """Return what a UE's transmitter consumes: E = E_radiated / efficiency + P_circuit t."""
    return radiated_j / device.amplifier_efficiency + device.transmit_circuit_w * active_s


def receive_energy_j(device: DeviceProfile, active_s: float) -> float:
    """Return what a UE's receiver consumes while its slots are decoded."""
    return device.receive_w * active_s


def compute_time_s(device: DeviceProfile, flops: float) -> float:
    """Return T = FLOPs / (FLOPs per cycle x f) seconds (REFERENCE: T = C D / f)."""
    return flops / (device.flops_per_cycle * device.clock_hz)


def compute_energy_j(device: DeviceProfile, flops: float) -> float:
    """Return E = kappa (FLOPs / FLOPs per cycle) f^2 joules (E = kappa C D f^2).

    >>> from ran.nodes import DeviceProfile
    >>> phone = DeviceProfile(kappa=1e-28, clock_hz=2e9, flops_per_cycle=1.0)
    >>> round(compute_energy_j(phone, 2e9), 3)  # one second at 0.8 W
    0.8
    """
    return device.kappa * flops / device.flops_per_cycle * device.clock_hz**2

"""The environments; a line here registers one, its module has its name."""

from agents.environment import ENVIRONMENTS

__all__ = ["ENVIRONMENTS"]

ENVIRONMENTS.declare(
    __name__,
    [
        "air_comp_power",
        "handover",
        "precoding",
        "round_allocation",
        "slicing",
        "slot_scheduling",
        "split_point",
        "uav_offload",
    ],
)

"""Every environment by the name that Gymnasium knows, `airtune/NAME-v0`, and the ways to make one.

Importing this module registers them, as does ``gymnasium.make("agents.registration:airtune/Handover-v0")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium

from agents.envs import ENVIRONMENTS

if TYPE_CHECKING:
    from agents.batched import BatchedEnv
    from agents.parallel import MultiAgentEnv

NAMESPACE = "airtune"


def register_all() -> None:
    """Register all environments with Gymnasium, once."""
    for name in ENVIRONMENTS.names():
        identifier = gymnasium_id(name)
        if identifier not in gymnasium.registry:
            gymnasium.register(
                identifier,
                entry_point="agents.single:SingleEnv",
                vector_entry_point="agents.batched:BatchedEnv",
                kwargs={"environment": name},
            )


def gymnasium_id(name: str) -> str:
    """Return the name that Gymnasium knows an environment by.

    >>> gymnasium_id("air_comp_power")
    'airtune/AirCompPower-v0'
    """
    return f"{NAMESPACE}/{''.join(word.capitalize() for word in name.split('_'))}-v0"


def plain_name(name: str) -> str:
    """Return our own name of an environment, also from Gymnasium's.

    >>> plain_name("airtune/AirCompPower-v0")
    'air_comp_power'
    """
    found = {gymnasium_id(known): known for known in ENVIRONMENTS.names()}
    return found.get(name, name)


def make_vec(name: str, num_envs: int, **parameters: Any) -> BatchedEnv:
    """Return the batched form of an environment: ``make_vec("handover", 1024, ues=15)``."""
    from agents.batched import BatchedEnv

    return BatchedEnv(name, num_envs, **parameters)


def make_parallel(name: str, **parameters: Any) -> MultiAgentEnv:
    """Return the PettingZoo form of an environment of several agents."""
    from agents.parallel import MultiAgentEnv

    return MultiAgentEnv(name, **parameters)


register_all()

"""What trainings of graph networks have in common, and how one is read from YAML."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, cast

import yaml
from pydantic import Field, ValidationError

from channel.component import Settings
from channel.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

_POWER = {
    "cell_free": "agents.gnn.cell_free_training:CellFreeTraining",
    "wcgcn": "agents.gnn.wcgcn:WcgcnTraining",
}
"""Trainings by the network they are for, as module:class; all other networks precode."""


class Training(Settings):
    """A network, and how long it learns; what from, is a subclass's."""

    network: str
    options: dict[str, int | bool] = Field(default_factory=dict, description="of the network, by its own names")
    steps: int = Field(default=6000, ge=1, le=10_000_000, description="gradient steps, one size each")
    batch: int = Field(default=128, ge=1, le=100_000, description="draws a step")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="of Adam, falling to 0 as a cosine")
    seed: int = Field(default=0, ge=0, description="of weights and draws")

    reference: ClassVar[str]
    """What progress is told as a part of."""

    def building(self) -> dict[str, int | bool | str]:
        """Return what the network is built with."""
        return dict(self.options)

    @abstractmethod
    def loss(self, network: nn.Module, step: int) -> tuple[Tensor, float]:
        """Return the loss of a step's draws, and the mean utility over the reference's."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the configuration of a YAML file; raises UserError where it does not hold."""
        try:
            return cls.model_validate(_mapping(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(cls.model_fields)
            raise UserError(f"{path}: `{where}`: {first['msg']}; known are {known}") from None


def read_training(path: Path) -> Training:
    """Return the configuration of a YAML file, of the kind that its network takes; raises UserError."""
    name = str(_mapping(path).get("network", "icgnn"))
    module, _, kind = _POWER.get(name, "agents.gnn.training:PrecoderTraining").partition(":")
    return cast("Training", getattr(importlib.import_module(module), kind).read(path))


def _mapping(path: Path) -> dict[str, object]:
    try:
        found = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {error}; give a training's YAML file") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected names and values; give a training's YAML file")
    return found

"""The shape every registered part of AirTune has: a frozen, validated, serialisable record with pure methods."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Settings(BaseModel):
    """A group of parameters: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class Component(Settings):
    """A part that a scenario names: its fields are its YAML parameters, its methods are pure.

    Components hold no tensors and no state; whatever changes during a run travels as an
    argument and a return value.
    """

    name: ClassVar[str] = ""
    """The registered name, set by ``Registry.register``."""

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring, shown by ``airtune list``."""
        return (cls.__doc__ or "").strip().split("\n", 1)[0]

    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **handler(self)}

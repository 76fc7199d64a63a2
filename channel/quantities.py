"""Field types with physical bounds: a value given in the wrong unit is refused with the likely right one."""

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_PREFIXES = ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e-3, "m"), (1e-6, "u"))


def _engineering(value: float) -> str:
    text = f"{value:.12g}"
    mantissa = value
    for exponent in (9, 6, 3):
        if abs(value) >= 10**exponent:
            mantissa = value / 10**exponent
            return f"{mantissa:.6g}e{exponent}"
    return text


def physical(low: float, high: float, unit: str, what: str) -> Any:
    """Return a float type bounded to ``low..high`` ``unit``, whose error guesses the slipped prefix."""

    def check(value: float) -> float:
        if low <= value <= high:
            return value
        hint = ""
        for factor, _prefix in _PREFIXES:
            if low <= value * factor <= high:
                hint = f"; did you mean {_engineering(value * factor)}?"
                break
        raise PydanticCustomError(
            "physical_bound",
            "{value} is not {what} in {unit} (expected {low} to {high}){hint}",
            {
                "value": f"{value:g}",
                "what": what,
                "unit": unit,
                "low": _engineering(low),
                "high": _engineering(high),
                "hint": hint,
            },
        )

    schema = {"type": "number", "minimum": low, "maximum": high, "description": f"{what}, {unit}"}
    return Annotated[float, AfterValidator(check), WithJsonSchema(schema)]


CarrierHz = physical(0.5e9, 100e9, "Hz", "a carrier frequency")
BandwidthHz = physical(1e6, 2e9, "Hz", "a channel bandwidth")
SubcarrierSpacingHz = physical(15e3, 240e3, "Hz", "a subcarrier spacing")
PowerDbm = physical(-60.0, 80.0, "dBm", "a transmit power")
NoiseFigureDb = physical(0.0, 30.0, "dB", "a noise figure")
HeightM = physical(0.5, 500.0, "m", "a height")
DistanceM = physical(0.0, 100e3, "m", "a distance")
SpeedMS = physical(0.0, 140.0, "m/s", "a speed")
DurationS = physical(0.0, 1e7, "s", "a duration")
ClockHz = physical(1e6, 10e9, "Hz", "a processor clock")
PowerW = physical(0.0, 1e5, "W", "a power")
Fraction = physical(0.0, 1.0, "1", "a fraction")

"""Field types with physical bounds: a value given in the wrong unit is refused with the likely right one."""

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

Guess = Callable[[float], Iterable[float]]
"""What a value may have been meant to be, likeliest first."""


def _prefixes(value: float) -> Iterable[float]:
    return (value * factor for factor in (1e9, 1e6, 1e3, 1e-3, 1e-6))


def _milliwatts(value: float) -> Iterable[float]:
    return (10.0 * math.log10(value),) if value > 0 else ()


def _percent(value: float) -> Iterable[float]:
    return (value / 100.0,)


def _slower_units(value: float) -> Iterable[float]:
    return (value / 3.6, value / 1000.0)  # km/h, mm/s


def _nothing(value: float) -> Iterable[float]:
    return ()


def _engineering(value: float) -> str:
    text = f"{value:.12g}"
    mantissa = value
    for exponent in (9, 6, 3):
        if abs(value) >= 10**exponent:
            mantissa = value / 10**exponent
            return f"{mantissa:.6g}e{exponent}"
    return text


def physical(low: float, high: float, unit: str, what: str, guess: Guess = _prefixes) -> Any:
    """Return a float type bounded to ``low..high`` ``unit``, whose error guesses what was meant."""

    def check(value: float) -> float:
        if low <= value <= high:
            return value
        likely = next((other for other in guess(value) if low <= other <= high), None)
        hint = "" if likely is None else f"; did you mean {_engineering(likely)}?"
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
PowerDbm = physical(-60.0, 80.0, "dBm", "a transmit power", _milliwatts)
NoiseFigureDb = physical(0.0, 30.0, "dB", "a noise figure", _nothing)
HeightM = physical(0.5, 500.0, "m", "a height")
DistanceM = physical(0.0, 100e3, "m", "a distance")
SpeedMS = physical(0.0, 140.0, "m/s", "a speed", _slower_units)
DurationS = physical(0.0, 1e7, "s", "a duration")
ClockHz = physical(1e6, 10e9, "Hz", "a processor clock")
PowerW = physical(0.0, 1e5, "W", "a power")
Fraction = physical(0.0, 1.0, "1", "a fraction", _percent)

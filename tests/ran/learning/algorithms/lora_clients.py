"""Three clients with LoRA factors of ranks 2, 4 and 8 in double precision, and their exact mean."""

import numpy as np

from ran.learning.algorithms import Report
from ran.learning.low_rank import Factors, factors, named

RANKS = (2, 4, 8)
SAMPLES = (10, 30, 60)
REPORTS = [Report(num_samples=count, num_steps=1) for count in SAMPLES]
INPUTS, OUTPUTS = 24, 20


def arrays_of(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    return {"layer.lora_A.weight": a, "layer.lora_B.weight": b}


def global_model(rank: int = 8) -> dict[str, np.ndarray]:
    """Return factors before the first round: A drawn, B zero, as LoRA starts."""
    rng = np.random.default_rng(0)
    return arrays_of(rng.standard_normal((rank, INPUTS)), np.zeros((OUTPUTS, rank)))


def trained_factors() -> list[Factors]:
    """Return what the clients' factors have become."""
    rng = np.random.default_rng(1)
    return [Factors(rng.standard_normal((r, INPUTS)), rng.standard_normal((OUTPUTS, r))) for r in RANKS]


def as_arrays(each: Factors) -> dict[str, np.ndarray]:
    return named({"layer": each}, global_model())


def exact_mean(parts: list[Factors]) -> np.ndarray:
    """Return sum_k p_k B_k A_k / r_k."""
    return sum(count / sum(SAMPLES) * part.b @ part.a / len(part.a) for count, part in zip(SAMPLES, parts, strict=True))


def product(arrays: dict[str, np.ndarray]) -> np.ndarray:
    each = factors(arrays)["layer"]
    return each.b @ each.a / len(each.a)


def relative(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))

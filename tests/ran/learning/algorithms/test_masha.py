"""MASHA1 and MASHA2 on a saddle point."""

from __future__ import annotations

import numpy as np
import pytest

from ran.learning.algorithms.masha import Masha
from ran.learning.compression.int8 import Int8
from ran.learning.compression.none import NoCompression
from ran.learning.compression.qsgd import Qsgd
from ran.learning.compression.sign import Sign
from ran.learning.compression.top_k import TopK

SIZE, CLIENTS = 8, 4


def saddle():
    """Return operators of min_x max_y mean_k x'A_k y + |x|^2 / 2 - |y|^2 / 2 + p_k'x - q_k'y, and the saddle point."""
    rng = np.random.default_rng(0)
    operators, matrices, offsets = [], [], []
    for _ in range(CLIENTS):
        coupling = rng.normal(size=(SIZE, SIZE)) / np.sqrt(SIZE)
        matrix = np.block([[np.eye(SIZE), coupling], [-coupling.T, np.eye(SIZE)]])
        offset = rng.normal(size=2 * SIZE)
        matrices.append(matrix)
        offsets.append(offset)
        operators.append(lambda z, matrix=matrix, offset=offset: matrix @ z + offset)
    return operators, np.linalg.solve(np.mean(matrices, 0), -np.mean(offsets, 0))


def test_without_compression_it_is_extragradient():
    """Oracle: Korpelevich's two lines; the reference point moves every time."""
    operators, _ = saddle()
    z = np.zeros(2 * SIZE)

    def mean(z):
        return np.mean([operator(z) for operator in operators], 0)

    for _ in range(50):
        z = z - 0.1 * mean(z - 0.1 * mean(z))
    found = Masha(rate=0.1, stay=0.0).solve(operators, np.zeros(2 * SIZE), NoCompression(), 50)
    np.testing.assert_allclose(found.z, z, atol=1e-14)


@pytest.mark.parametrize(
    ("variant", "compressor"),
    [
        ("masha1", Qsgd(levels=4)),
        pytest.param("masha1", Int8(rounding="stochastic"), marks=pytest.mark.slow),
        ("masha2", TopK(density=0.25)),
        pytest.param("masha2", Sign(), marks=pytest.mark.slow),
    ],
)
def test_it_converges_to_the_saddle_point(variant, compressor):
    """Oracle: a linear system; within 1e-9, where plain descent-ascent of the same compressor would hover."""
    operators, goal = saddle()
    found = Masha(variant=variant, rate=0.05, stay=0.8).solve(operators, np.zeros(2 * SIZE), compressor, 1500)
    assert np.abs(found.z - goal).max() < 1e-9


def test_bits():
    """Oracle: counting: 16 values and a scale of 64 bits by sign, both ways, and 16 x 64 whenever w moves: always."""
    operators, _ = saddle()
    found = Masha(variant="masha2", stay=0.0).solve(operators, np.zeros(2 * SIZE), Sign(), 10)
    assert found.uplink_bits == found.downlink_bits == CLIENTS * (10 * (16 + 64) + 11 * 16 * 64)
    rarely = Masha(variant="masha2", stay=0.99).solve(operators, np.zeros(2 * SIZE), Sign(), 10)
    assert rarely.uplink_bits < found.uplink_bits / 2


def test_same_seed_same_run():
    """Property: a function of the seed."""
    operators, _ = saddle()
    first, again, other = (Masha().solve(operators, np.ones(2 * SIZE), Qsgd(), 30, seed=seed) for seed in (1, 1, 2))
    assert first.z.tobytes() == again.z.tobytes()
    assert (first.z != other.z).any()


def test_what_does_not_fit():
    """Property: masha1 wants compressors without memory, masha2 with; the error names some."""
    operators, _ = saddle()
    with pytest.raises(ValueError, match="such as qsgd"):
        Masha().solve(operators, np.zeros(2 * SIZE), TopK(), 1)
    with pytest.raises(ValueError, match="such as top_k"):
        Masha(variant="masha2").solve(operators, np.zeros(2 * SIZE), Int8(), 1)

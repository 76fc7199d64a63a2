import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from channel.sionna_adapter import sionna_state

DRAW = """
import hashlib
import numpy as np

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.tr38901 import Tr38901

angle = np.linspace(0, 6, 30)
geometry = Geometry(
    3.5e9, np.linspace(-9e6, 9e6, 13), np.array([[0, 0, 10.0]] * 2), np.array([0.5, 2.5]), 0.1, AntennaArray(),
    np.stack([60 * np.cos(angle), 60 * np.sin(angle), 0 * angle + 1.5], -1), np.ones((30, 3)), 1e-20, 1e-20,
)
model = Tr38901()
state = model.start(geometry, 1)
snapshot, _ = model.realise(geometry, state, 0.7, 1)
digest = hashlib.sha256(snapshot.gain.tobytes()).hexdigest()
"""

# Draws that drop in a fresh interpreter, checks every global random state, and prints the hash of what it drew.
FRESH_DRAW = f"""
import random
import numpy as np
import torch

random.seed(3), np.random.seed(3), torch.manual_seed(3)
before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
{DRAW}
assert before[0] == random.getstate()
assert (before[1] == np.random.get_state()[1]).all()
assert torch.equal(before[2], torch.get_rng_state())
assert before[3] == torch.get_num_threads()
print(before[3], digest)
"""


def test_a_first_draw_touches_no_global_state_and_threads_do_not_matter():
    """Oracle: random states compared before and after; bit equality of drops with 1 and with 2 threads.

    The one with 2 in a fresh interpreter, because importing Sionna is what reseeds torch.
    """
    fresh = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH_DRAW],
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    here: dict[str, str] = {}
    exec(DRAW, here)
    assert torch.get_num_threads() == 1
    assert fresh.stdout.split() == ["2", here["digest"]]


def test_everything_is_put_back_even_after_an_error():
    """Oracle: Sionna's and torch's states compared before and after a block that fails."""
    with sionna_state(0):
        from sionna.phy import config
    config_before = (config.seed, config.precision, config.device, config.py_rng.getstate(), config.np_rng)
    generator_before = config.torch_rng("cpu").get_state()
    torch_before, threads = torch.get_rng_state(), torch.get_num_threads()
    random_before = random.getstate()

    def fail_inside() -> None:
        with sionna_state(5, precision="double"):
            assert (config.seed, config.precision, config.device) == (5, "double", "cpu")
            assert torch.get_num_threads() == 1
            assert not torch.is_grad_enabled()
            torch.rand(3), config.py_rng.random(), config.np_rng.random()
            torch.rand(1, generator=config.torch_rng("cpu"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert config_before == (config.seed, config.precision, config.device, config.py_rng.getstate(), config.np_rng)
    assert torch.equal(generator_before, config.torch_rng("cpu").get_state())
    assert torch.equal(torch_before, torch.get_rng_state())
    assert (torch.get_num_threads(), random.getstate()) == (threads, random_before)
    assert torch.is_grad_enabled()


def test_equal_seeds_give_equal_draws():
    """Oracle: Sionna's own generators, drawn from twice. Catches a seed that is not applied."""
    draws = []
    for seed in (1, 1, 2):
        with sionna_state(seed):
            from sionna.phy.utils import rand

            draws.append(rand([8]).numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])

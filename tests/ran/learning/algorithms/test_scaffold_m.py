"""SCAFFOLD-M against SCAFFOLD, the optimum, and a client's step by hand."""

import numpy as np
import pytest

from channel.seeding import stream
from ran.learning.algorithms.scaffold import Scaffold
from ran.learning.algorithms.scaffold_m import ScaffoldM
from tests.ran.learning.algorithms.problems import Fleet, Perceptron, Quadratic, federate, two_clients

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "local_steps": 10}


def test_beta_one_is_scaffold():
    """Oracle: SCAFFOLD (REFERENCE section 4): the quadratic to 1e-15, a network of float32 to its rounding."""
    ours, plain = federate(ScaffoldM(**SGD, beta=1.0), two_clients(), 30), federate(Scaffold(**SGD), two_clients(), 30)
    assert ours.x == pytest.approx(plain.x, abs=1e-15)
    problems = [Perceptron(1, 20), Perceptron(2, 50)]
    model = problems[0].read()
    ours, plain = (federate(each, problems, 4, model) for each in (ScaffoldM(beta=1.0), Scaffold()))
    for name, array in plain.server.model.items():
        np.testing.assert_allclose(ours.server.model[name], array, rtol=0, atol=1e-6)


@pytest.mark.parametrize("beta", [0.2, pytest.param(0.5, marks=pytest.mark.slow)])
def test_two_client_quadratic_reaches_the_optimum(beta):
    """Oracle: 10/11; unlike fedavg_m's, the fixed point has no bias: there every corrected gradient is zero."""
    fleet = federate(ScaffoldM(**SGD, beta=beta), two_clients(), 200 if beta < 0.5 else 300)
    assert fleet.x == pytest.approx(10 / 11, abs=1e-14)
    gradients = [a * (10 / 11 - b) for a, b in ((1.0, 0.0), (10.0, 1.0))]
    assert [fleet.memories[client]["x"][0] for client in (0, 1)] == pytest.approx(gradients, abs=1e-12)


def test_partial_participation_still_reaches_the_optimum():
    """Oracle: closed form sum(n a b) / sum(n a) over five clients, of whom two take part in a round."""
    a, b, n = np.array([1.0, 2.0, 3.0, 1.0, 5.0]), np.array([0.0, 1.0, -1.0, 2.0, 0.5]), np.array([1, 2, 1, 3, 2])
    problems = [Quadratic(*each) for each in zip(a, b, n.tolist(), strict=True)]
    fleet = Fleet(ScaffoldM(learning_rate=0.1, local_steps=2, beta=0.3), problems, {"x": np.zeros(1)})
    for number in range(200):
        fleet.round(sorted(np.random.default_rng(number).choice(5, 2, replace=False)))
    assert fleet.x == pytest.approx((n * a) @ b / (n @ a), abs=1e-13)


def test_client_step_by_hand():
    """Oracle: arXiv 2306.16504, algorithm 2, in plain floats; c_k+ is the mean of the client's own gradients."""
    beta, control, direction, own = 0.4, 0.2, -1.5, -0.7
    received = {f"{name}/x": np.array([value]) for name, value in
                (("model", 0.5), ("control", control), ("direction", direction))}  # fmt: skip
    algorithm = ScaffoldM(learning_rate=0.1, local_steps=3, beta=beta)
    update = algorithm.client_step(received, Quadratic(4.0, 1.0), stream(0, "order"), {"x": np.array([own])})
    y, gradients = 0.5, []
    for _ in range(3):
        gradients.append(4.0 * (y - 1.0))
        y -= 0.1 * (beta * (gradients[-1] - own + control) + (1 - beta) * direction)
    assert update.arrays["model/x"][0] == pytest.approx(y - 0.5, abs=1e-15)
    assert update.memory["x"][0] == pytest.approx(np.mean(gradients), abs=1e-13)
    assert update.arrays["control/x"][0] == pytest.approx(np.mean(gradients) - own, abs=1e-13)


def test_server_step_by_hand():
    """Oracle: plain floats; g_bar is the mean way over rate and mean steps, c moves by the participants' share."""
    algorithm = ScaffoldM(learning_rate=0.1, batch_size=1, beta=0.4, server_learning_rate=0.5)
    problems = [Quadratic(1.0, 2.0, 1), Quadratic(2.0, -1.0, 3), Quadratic(1.0, 0.0, 4)]
    fleet = Fleet(algorithm, problems, {"x": np.array([1.0])})
    fleet.round([0, 1])
    way = [update.arrays["model/x"][0] for update in fleet.updates]
    change = [update.arrays["control/x"][0] for update in fleet.updates]
    mean = (way[0] + 3 * way[1]) / 4
    assert fleet.x == pytest.approx(1.0 + 0.5 * mean, abs=1e-15)
    assert fleet.server.memory["direction/x"][0] == pytest.approx(-mean / (0.1 * 10 / 4), abs=1e-14)
    assert fleet.server.memory["control/x"][0] == pytest.approx((change[0] + 3 * change[1]) / 8, abs=1e-15)

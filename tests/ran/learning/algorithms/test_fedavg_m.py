"""FedAvg-M against FedAvg, a closed form, and two rounds by hand."""

import numpy as np
import pytest

from channel.seeding import stream
from ran.learning.algorithms import Report
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.algorithms.fedavg_m import FedAvgM
from tests.ran.learning.algorithms.problems import TWO, Perceptron, Quadratic, federate, two_clients

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "local_steps": 10}


def test_beta_one_is_fedavg():
    """Oracle: FedAvg, bit for bit (REFERENCE section 4), also with unequal numbers of steps."""
    problems = [Perceptron(1, 20), Perceptron(2, 50)]
    algorithms = FedAvgM(beta=1.0), FedAvg(optimizer="sgd", learning_rate=0.05)
    model = problems[0].read()
    ours, plain = (federate(each, problems, 4, model).server.model for each in algorithms)
    assert all((ours[name] == plain[name]).all() for name in plain)


@pytest.mark.parametrize("beta", [0.2, 0.6])
def test_fixed_point_is_that_of_fedavg_at_beta_times_the_rate(beta):
    """Oracle: closed form. g_bar = 0 there, so steps are beta g: sum(w b) / sum(w), w = 1 - (1 - beta eta a)^K."""
    pull = 1 - (1 - beta * 0.05 * np.array(TWO[0])) ** 10
    fleet = federate(FedAvgM(**SGD, beta=beta), two_clients(), 130)
    assert fleet.x == pytest.approx(pull @ TWO[1] / pull.sum(), abs=1e-10)
    assert fleet.server.memory["direction/x"][0] == pytest.approx(0.0, abs=1e-9)


def test_two_rounds_by_hand():
    """Oracle: arXiv 2306.16504, algorithm 1, in plain floats; the clients' steps differ, and gamma is not eta K."""
    beta, rate, factor = 0.3, 0.1, 0.7
    algorithm = FedAvgM(learning_rate=rate, local_epochs=1, batch_size=1, beta=beta, server_learning_rate=factor)
    curvatures, minima, samples = (1.0, 4.0), (0.0, 1.0), (1, 3)
    problems = [Quadratic(*each) for each in zip(curvatures, minima, samples, strict=True)]
    fleet = federate(algorithm, problems, 2, {"x": np.array([0.5])})
    x, g_bar = 0.5, 0.0
    for _ in range(2):
        way = 0.0
        for a, b, n in zip(curvatures, minima, samples, strict=True):
            y = x
            for _ in range(n):
                y -= rate * (beta * a * (y - b) + (1 - beta) * g_bar)
            way += n / 4 * (x - y)
        g_bar = way / (rate * (1 * 1 + 3 * 3) / 4)
        x -= factor * way
    assert fleet.x == pytest.approx(x, abs=1e-14)
    assert fleet.server.memory["direction/x"][0] == pytest.approx(g_bar, abs=1e-14)


def test_direction_travels_beside_the_model():
    """Property: a client steps along what it received, though its own gradient is zero."""
    algorithm = FedAvgM(**SGD, beta=0.25)
    received = {"model/x": np.array([1.0]), "direction/x": np.array([2.0])}
    update = algorithm.client_step(received, Quadratic(1e-12, 1.0), stream(0, "order"), {})
    assert update.arrays["x"][0] == pytest.approx(-10 * 0.05 * 0.75 * 2.0)
    assert update.report == Report(num_samples=1, num_steps=10)


def test_other_local_steps_are_refused():
    """Oracle: by hand; each setting that bends the steps is named with its remedy."""
    assert FedAvgM().problems() == []
    sentences = FedAvgM(optimizer="adamw", momentum=0.9, weight_decay=0.1).problems()
    assert [sentence.split(":")[0] for sentence in sentences] == ["`optimizer`", "`momentum`", "`weight_decay`"]
    assert "set it to sgd" in sentences[0]

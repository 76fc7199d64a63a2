"""SCAFFOLD against the optimum that it must find, and rounds by hand."""

import numpy as np
import pytest

from channel.seeding import stream
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.algorithms.scaffold import Scaffold
from tests.ran.learning.algorithms.problems import Fleet, Quadratic, federate, two_clients

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "local_steps": 10}


def test_two_client_quadratic_reaches_the_optimum():
    """Oracle: 10/11, within 1e-16 (one unit in the last place, 1.1e-16) after 400 rounds (REFERENCE section 4)."""
    assert federate(Scaffold(**SGD), two_clients(), 100).x == pytest.approx(10 / 11, rel=0, abs=1.2e-16)


def test_first_round_is_fedavg():
    """Oracle: FedAvg; control variates start at zero."""
    ours, plain = federate(Scaffold(**SGD), two_clients(), 1), federate(FedAvg(**SGD), two_clients(), 1)
    assert ours.x == plain.x


def test_client_step_by_hand():
    """Oracle: option II in plain floats: y -= eta (g - c_k + c), c_k+ = c_k - c + (x - y) / (K eta)."""
    received = {"model/x": np.array([0.5]), "control/x": np.array([0.2])}
    algorithm = Scaffold(learning_rate=0.1, local_steps=3)
    update = algorithm.client_step(received, Quadratic(4.0, 1.0), stream(0, "order"), {"x": np.array([-0.7])})
    y, gradients = 0.5, []
    for _ in range(3):
        gradients.append(4.0 * (y - 1.0))
        y -= 0.1 * (gradients[-1] + 0.7 + 0.2)
    assert update.arrays["model/x"][0] == pytest.approx(y - 0.5, abs=1e-15)
    assert update.memory["x"][0] == pytest.approx(-0.7 - 0.2 + (0.5 - y) / 0.3, abs=1e-14)
    assert update.memory["x"][0] == pytest.approx(np.mean(gradients), abs=1e-14)
    assert update.arrays["control/x"][0] == pytest.approx(update.memory["x"][0] + 0.7, abs=1e-15)


def test_part_of_the_clients_moves_the_control_by_their_share():
    """Oracle: c += |S| / N mean of the changes (algorithm 1), here with 2 of 5 and c_k known from an earlier round."""
    problems = [Quadratic(a, b) for a, b in ((1, 0), (2, 1), (3, -1), (1, 2), (2, 0))]
    fleet = Fleet(Scaffold(**SGD), problems, {"x": np.zeros(1)})
    fleet.round([0, 1, 3])
    before, known = fleet.server.memory["control/x"][0], fleet.memories[1]["x"][0]
    fleet.round([1, 4])
    changes = [fleet.memories[1]["x"][0] - known, fleet.memories[4]["x"][0]]
    after = fleet.server.memory["control/x"][0]
    assert after == pytest.approx(before + 2 / 5 * np.mean(changes), abs=1e-15)
    own = [fleet.memories.get(client, {"x": np.zeros(1)})["x"][0] for client in range(5)]
    assert after == pytest.approx(np.mean(own), abs=1e-15)


def test_partial_participation_still_reaches_the_optimum():
    """Oracle: closed form sum(a b) / sum(a) over five clients, two of them in a round; FedAvg never rests."""
    a, b = np.array([1.0, 2.0, 3.0, 1.0, 5.0]), np.array([0.0, 1.0, -1.0, 2.0, 0.5])
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "local_steps": 2}
    wrong = {}
    for algorithm in (Scaffold(**settings), FedAvg(**settings)):
        fleet = Fleet(algorithm, [Quadratic(*each) for each in zip(a, b, strict=True)], {"x": np.zeros(1)})
        for number in range(150):
            fleet.round(sorted(np.random.default_rng(number).choice(5, 2, replace=False)))
        wrong[algorithm.name] = abs(fleet.x - a @ b / a.sum())
    assert wrong["scaffold"] < 1e-12
    assert wrong["fedavg"] > 0.1


def test_samples_weigh_as_in_the_pooled_loss():
    """Oracle: closed form sum(n a b) / sum(n a), with clients of 1, 3 and 6 samples and as many steps."""
    a, b, n = np.array([1.0, 10.0, 3.0]), np.array([0.0, 1.0, -2.0]), np.array([1, 3, 6])
    problems = [Quadratic(*each) for each in zip(a, b, n.tolist(), strict=True)]
    fleet = federate(Scaffold(learning_rate=0.05, batch_size=1), problems, 60)
    assert fleet.x == pytest.approx((n * a) @ b / (n @ a), abs=1e-14)
    assert fleet.server.memory["control/x"][0] == pytest.approx(0.0, abs=1e-13)


def test_server_step_size():
    """Oracle: by hand; the factor scales the model's step, not the control's."""
    halves, wholes = (federate(Scaffold(**SGD, server_learning_rate=each), two_clients(), 1) for each in (0.5, 1.0))
    assert halves.x == pytest.approx(wholes.x / 2, abs=1e-16)
    assert halves.server.memory["control/x"] == wholes.server.memory["control/x"]


def test_needs_to_know_all_clients():
    """Property: a server that cannot know the share of the participants does not start."""
    with pytest.raises(AssertionError, match="samples of every client"):
        Scaffold().start({"x": np.zeros(1)})
    assert [each.split(":")[0] for each in Scaffold(momentum=0.5).problems()] == ["`momentum`"]

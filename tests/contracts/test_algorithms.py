"""Contract of every registered learning algorithm, also one added tomorrow."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from channel.seeding import stream
from ran.learning.algorithms import ALGORITHMS, Algorithm
from ran.learning.algorithms.algorithm import weighted_mean
from ran.learning.federation import FederationState
from ran.learning.freezing import Frozen
from ran.learning.hierarchy import Edge
from ran.learning.history import no_history
from ran.learning.payload import decode, encode
from tests.ran.learning.algorithms.problems import Fleet, Perceptron, Quadratic

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays

NAMES = ALGORITHMS.names()
SUPERPOSED = [name for name in NAMES if ALGORITHMS.get(name).needs == "superpose"]
SAMPLES = 24, 9, 1, 40
FIELD: TypeAdapter[Any] = TypeAdapter(Annotated[Algorithm, ALGORITHMS.field()])


def network_fleet(name: str) -> Fleet:
    """Return four clients of very different sizes, one with a single sample, that fit perceptrons in float32."""
    problems = [Perceptron(seed, count) for seed, count in enumerate(SAMPLES, start=1)]
    return Fleet(ALGORITHMS.get(name)(batch_size=8), problems, problems[0].initial)


def bits(*many: Arrays) -> list[bytes]:
    return [encode(arrays) if arrays else b"" for arrays in many]


def state_bits(fleet: Fleet) -> list[bytes]:
    return bits(fleet.server.model, fleet.server.memory, *(fleet.memories[each] for each in sorted(fleet.memories)))


def shapes(arrays: Arrays) -> dict[str, tuple[object, ...]]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


@pytest.mark.parametrize("name", NAMES)
def test_pickle_and_yaml_round_trip(name):
    """Oracle: the object itself; default settings are in order, and a scenario may name the algorithm alone."""
    algorithm = ALGORITHMS.get(name)(local_epochs=3, batch_size=5)
    assert pickle.loads(pickle.dumps(algorithm)) == algorithm
    text = yaml.safe_dump(algorithm.model_dump(mode="json"))
    assert FIELD.validate_python(yaml.safe_load(text)) == algorithm
    assert FIELD.validate_python(name).problems() == []


@pytest.mark.parametrize("name", NAMES)
def test_same_calls_same_bits(name):
    """Property: rounds are a function of the algorithm, the problems and the streams."""
    first, again = network_fleet(name), network_fleet(name)
    for fleet in (first, again):
        for _ in range(3):
            fleet.round()
    assert state_bits(first) == state_bits(again)
    assert first.server.round == 3


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_left_alone(name):
    """Property: broadcast, memory, server and updates hold the same bits after a step as before."""
    fleet = network_fleet(name)
    fleet.round()
    algorithm, server = fleet.algorithm, fleet.server
    received = algorithm.tailor(algorithm.broadcast(server), fleet.problems[0].initial)
    before = state_bits(fleet), bits(received)
    update = algorithm.client_step(received, fleet.problems[0], stream(0, "order"), fleet.memories[0])
    assert (state_bits(fleet), bits(received)) == before
    sent = bits(update.arrays)
    algorithm.aggregate(server, [update.arrays], [update.report])
    algorithm.personal(fleet.memories[0], received)
    assert (state_bits(fleet), bits(update.arrays)) == (before[0], sent)


@pytest.mark.parametrize("name", NAMES)
def test_payloads_keep_their_form(name):
    """Property: equal names in all rounds, for a newcomer too; where only the sum is known, equal shapes and dtypes.

    Gaps of a lost packet are filled by position, and sums in the air are taken by position. Payloads survive the wire.
    """
    fleet = network_fleet(name)
    down, up = [], []
    for chosen in ([0, 1], [1, 2], [0, 1, 2, 3]):
        down.append(fleet.algorithm.broadcast(fleet.server))
        fleet.round(chosen)
        up += [update.arrays for update in fleet.updates]
    for payloads in (down, up):
        assert all(payload.keys() == payloads[0].keys() for payload in payloads)
        assert all(bits(decode(encode(payload))) == bits(payload) for payload in payloads)
        if name in SUPERPOSED:
            assert all(shapes(payload) == shapes(payloads[0]) for payload in payloads)


@pytest.mark.parametrize("name", NAMES)
def test_bookkeeping(name):
    """Oracle: counting: steps and samples of one epoch in batches of 8; weights are positive, FLOPs finite."""
    fleet = network_fleet(name)
    fleet.round()
    for update, count in zip(fleet.updates, SAMPLES, strict=True):
        assert (update.num_samples, update.num_steps) == (count, -(-count // 8))
        assert 0 < update.flops < np.inf
        assert np.isfinite(update.train_loss)
        assert 0 < fleet.algorithm.weight(update.report) < np.inf


@pytest.mark.parametrize("name", NAMES)
def test_model_keeps_its_form_and_stays_finite(name):
    """Property: names, shapes and single precision of model and payload after five rounds; every value is finite."""
    fleet = network_fleet(name)
    start = shapes(fleet.server.model)
    for chosen in ([3], [0, 2], [1], [0, 1, 2, 3], [2]):
        fleet.round(chosen)
    assert shapes(fleet.server.model).keys() == start.keys()
    if name in SUPERPOSED:
        assert shapes(fleet.server.model) == start
    floats = [
        fleet.server.model,
        fleet.server.memory,
        *fleet.memories.values(),
        *(each.arrays for each in fleet.updates),
    ]
    for arrays in floats:
        for array in arrays.values():
            assert isinstance(array, np.ndarray)
            assert array.dtype == np.float32 or array.dtype.kind == "i"
            assert np.isfinite(array).all()


class NoNetwork:
    """A network without state."""

    def arrays(self):
        return {}

    def restore(self, arrays):
        assert not arrays


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_a_checkpoint(name):
    """Property: a federation restored from ``FederationState.arrays`` goes on bit for bit, absent clients included."""
    fleet = network_fleet(name)
    fleet.round([0, 1])
    fleet.round([1, 2])
    resumed = network_fleet(name)
    states = [
        FederationState(
            each.server, each.memories, no_history(4), 0.0, NoNetwork(), [Edge(each.server)],
            Frozen(0, np.zeros(0)), np.zeros(4, np.int64),
        )
        for each in (fleet, resumed)
    ]  # fmt: skip
    states[1].restore(SimpleNamespace(learner=SimpleNamespace(frozen=None)), copy.deepcopy(states[0].arrays()))
    resumed.server, resumed.memories = states[1].server, states[1].memories
    for each in (fleet, resumed):
        each.round([1, 3])
        each.round()
    assert state_bits(resumed) == state_bits(fleet)


@pytest.mark.parametrize("name", SUPERPOSED)
def test_a_mean_is_all_that_the_server_needs(name):
    """Oracle: ``aggregate``; the mean may come from anywhere, and in single precision changes the model by rounding."""
    fleet = network_fleet(name)
    fleet.round([0, 1])
    before = fleet.server
    fleet.round([1, 3])
    updates, reports = [each.arrays for each in fleet.updates], [each.report for each in fleet.updates]
    mean = weighted_mean(updates, [fleet.algorithm.weight(report) for report in reports])
    after = fleet.algorithm.server_step(before, mean, reports)
    assert bits(after.model, after.memory) == bits(fleet.server.model, fleet.server.memory)
    rounded = {array_name: np.asarray(array, np.float32) for array_name, array in mean.items()}
    after = fleet.algorithm.server_step(before, rounded, reports)
    for array_name, array in fleet.server.model.items():
        assert after.model[array_name].dtype == np.float32
        np.testing.assert_allclose(after.model[array_name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_personal_models_fit_the_network(name):
    """Property: None, or arrays of the model's names and shapes, before the first round of a client and after."""
    fleet = network_fleet(name)
    for _ in range(2):
        received = fleet.algorithm.broadcast(fleet.server)
        for client in range(len(SAMPLES)):
            personal = fleet.algorithm.personal(fleet.memories.get(client, {}), received)
            assert personal is None or shapes(personal) == shapes(fleet.server.model)
        fleet.round([0, 1])


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls_on_unlike_quadratics(name):
    """Oracle: the pooled loss itself, over ten rounds of four clients that want different things."""
    a, b, n = np.array([1.0, 4.0, 2.0, 3.0]), np.array([-1.0, 3.0, 2.0, 4.0]), np.array(SAMPLES)
    problems = [Quadratic(*each) for each in zip(a, b, n.tolist(), strict=True)]
    algorithm = ALGORITHMS.get(name)(optimizer="sgd", learning_rate=0.02, batch_size=8)
    fleet, losses = Fleet(algorithm, problems, {"x": np.zeros(1)}), []
    for _ in range(11):
        losses.append(float(n @ (a / 2 * (fleet.x - b) ** 2) / n.sum()))
        fleet.round()
    assert losses[10] < losses[0]
    assert fleet.server.model["x"].dtype == np.float64
    assert min(losses) > float(n @ (a / 2 * (n * a @ b / (n @ a) - b) ** 2) / n.sum()) - 1e-12

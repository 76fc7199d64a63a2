"""A batch through a split network against the uncut one: gradients, bytes, and what a lost UE leaves behind."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
import torch

from channel.seeding import stream
from ran.learning.adapters import HeadOnly, Lora
from ran.learning.frozen_prefix import ActivationCache
from ran.learning.split.cut import Cut
from ran.learning.split.draws import Draws
from ran.learning.split.exchange import Errors, exchange
from tests.ran.learning.split.conftest import cut_up, minilm, one_exchange, whole, whole_of

CUTS = [
    *(Cut(after=(at,)) for at in (1, 2, 3)),
    *(Cut(shape=shape, after=after) for shape in ("u_shaped", "three_way") for after in ((1, 2), (1, 3), (2, 3))),
]


def assert_same_gradients(parties, wanted):
    got = dict[str, torch.Tensor]()
    for party in parties.values():
        for name, leaf in party.leaves.items():
            grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            got[name] = got[name] + grad if name in got else grad
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("adapter", [None, Lora(rank=2, dropout=0.2)], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "vit"])
def test_gradients_are_those_of_the_whole_network(kind, adapter, dropout):
    """Oracle: backward of the uncut network, seeded alike, at every cut of every shape; torch's state stays put."""
    given = whole(kind, adapter, dropout)
    loss, wanted = given.gradients()
    assert sum(float(each.abs().sum()) for each in wanted.values()) > 0
    before = torch.get_rng_state()
    for cut in CUTS:
        split, parties = cut_up(given, cut)
        outcome, messages = one_exchange(split, parties, given)
        assert outcome.loss == pytest.approx(loss, rel=1e-5)
        assert [message.kind for message in messages] == ["activations"] * len(cut.after) + ["gradients"] * len(
            cut.after
        )
        assert_same_gradients(parties, wanted)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "cut", [Cut(after=2), Cut(shape="u_shaped", after=(1, 5)), Cut(shape="three_way", after=(1, 4))]
)
def test_minilm_gradients_are_those_of_the_whole_network(cut, minilm_folder):
    """Oracle: backward of uncut MiniLM with LoRA and its own dropout of 0.1, on four padded sentences."""
    given = minilm(minilm_folder)
    loss, wanted = given.gradients()
    split, parties = cut_up(given, cut)
    outcome, messages = one_exchange(split, parties, given)
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert_same_gradients(parties, wanted)
    assert {message.payload.value_bytes for message in messages} == {4 * 8 * 384 * 4}


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet"])
@pytest.mark.parametrize("cut", [Cut(), Cut(shape="u_shaped", after=(1, 2)), Cut(shape="three_way", after=(1, 2))])
def test_small_networks_are_cut_too(kind, cut):
    """Oracle: backward of the uncut perceptron and convolutional network."""
    given = whole(kind)
    loss, wanted = given.gradients()
    split, parties = cut_up(given, cut)
    outcome, _ = one_exchange(split, parties, given)
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert_same_gradients(parties, wanted)


def test_batches_may_interleave():
    """Oracle: two batches of dropout, one after the other; here each message of the one is followed by the other's."""
    given, cut = whole("bert", dropout=0.3), Cut(shape="three_way", after=(1, 2))
    parts = [given.batch.part([0, 1, 2]), given.batch.part([3, 4, 5])]
    split, parties = cut_up(given, cut)
    _, apart = cut_up(given, cut)

    def start(number, nodes):
        fields = {"key": number, "rng": stream(1, "rounding"), "errors": Errors(), "draws": Draws(number)}
        return exchange(split, nodes, parts[number], **fields)

    for number in (0, 1):
        assert len(list(start(number, apart))) == 4
    messages = [start(number, parties) for number in (0, 1)]
    assert len([message for pair in zip(*messages, strict=True) for message in pair]) == 8
    assert_same_gradients(parties, {name: leaf.grad for each in apart.values() for name, leaf in each.leaves.items()})


def test_a_batch_in_flight_keeps_its_weights_when_others_step():
    """Oracle: the gradient at the weights of its forward pass; PyTorch alone would refuse weights that have moved."""
    given, cut = whole("bert"), Cut(shape="three_way", after=(1, 2))
    _, wanted = given.gradients()
    split, parties = cut_up(given, cut)
    gnb = parties["gnb"]
    gnb.optimizer = torch.optim.AdamW(list(gnb.leaves.values()), lr=0.1)
    late = exchange(split, parties, given.batch, key="late", rng=stream(1, "x"), errors=Errors())
    assert [next(late).cut for _ in range(2)] == [0, 1]
    one_exchange(split, parties, given)
    before = gnb.read()
    gnb.step()
    moved = gnb.read()
    assert all(np.abs(moved[name] - before[name]).max() > 0 for name in moved if wanted[name].abs().max() > 1e-4)
    for party in parties.values():
        for leaf in party.leaves.values():
            leaf.grad = None
    assert len(list(late)) == 2
    assert_same_gradients(parties, wanted)
    assert {id(leaf) for leaf in gnb.leaves.values()} == {
        id(p) for g in gnb.optimizer.param_groups for p in g["params"]
    }
    assert len(gnb.optimizer.state) == sum(leaf.grad is not None for leaf in gnb.leaves.values())
    gnb.step()
    assert any((gnb.read()[name] != moved[name]).any() for name in moved)


def test_two_hundred_drops_leave_nothing():
    """Property: a UE that disappears at any message leaves no graph, no tensor and no memory that grows."""
    given = whole("bert", dropout=0.1)
    split, parties = cut_up(given, Cut(shape="u_shaped", after=(1, 2)))
    seen, sizes = list[weakref.ref](), list[tuple[int, int]]()

    def drop(number):
        stop = number % 4 + 1
        messages = exchange(
            split, parties, given.batch, key=number, rng=stream(1, "x"), errors=Errors(), draws=Draws(1)
        )
        for _ in range(stop):
            next(messages)
        held = [each for party in parties.values() for each in party.in_flight.values()]
        assert len(held) == (1, 2, 2, 1)[stop - 1]
        seen.extend(weakref.ref(graph.output) for graph in held)
        del held
        messages.close()
        for party in parties.values():
            for leaf in party.leaves.values():
                leaf.grad = None

    gc.disable()
    tracemalloc.start()
    try:
        for number in range(200):
            drop(number)
            assert not any(party.in_flight for party in parties.values())
            # Reference counts alone free the graphs, at once.
            assert all(reference() is None for reference in seen)
            seen.clear()
            if number in (99, 199):
                gc.collect()
                sizes.append((len(gc.get_objects()), tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
        gc.enable()
    # The interpreter's own caches still fill: less than a small object a drop.
    assert sizes[1][0] - sizes[0][0] < 10
    assert sizes[1][1] - sizes[0][1] < 100 * 200


def test_letting_go_of_the_messages_drops_the_batch():
    """Property: no close() is needed."""
    given = whole("vit")
    split, parties = cut_up(given, Cut())
    messages = exchange(split, parties, given.batch, key=1, rng=stream(1, "x"), errors=Errors())
    next(messages)
    assert parties["ue"].in_flight
    del messages
    assert not parties["ue"].in_flight


def test_only_what_is_trained_costs_a_downlink():
    """Oracle: a head alone, and a frozen first stage: no gradient comes down, and the head's are right."""
    given = whole("vit", HeadOnly())
    _, wanted = given.gradients()
    split, parties = cut_up(given, Cut(shape="three_way", after=(1, 2)))
    _, messages = one_exchange(split, parties, given)
    assert [(message.sender, message.receiver) for message in messages] == [("ue", "gnb"), ("gnb", "cloud")]
    assert_same_gradients(parties, wanted)
    given = whole("vit")
    split, parties = cut_up(given, Cut(shape="three_way", after=(1, 2)))
    parties["ue"].freeze(0)
    _, messages = one_exchange(split, parties, given)
    assert [message.sender for message in messages] == ["ue", "gnb", "cloud"]
    assert all(leaf.grad is None for leaf in parties["ue"].leaves.values())


def test_features_of_a_frozen_client_are_sent_once():
    """Oracle: counting messages and bytes; cached features equal a recomputation bit for bit."""
    given = whole("bert", dropout=0.5)
    split, parties = cut_up(given, Cut())
    parties["ue"].freeze(0)
    store = ActivationCache(1e9)
    small = whole_of(given, given.batch.part([0, 1]))
    _, first = one_exchange(split, parties, small, features=store)
    assert [message.payload.value_bytes for message in first] == [2 * 7 * 16 * 4]
    before = {row: hidden.clone() for row, hidden in store.kept.items()}
    _, second = one_exchange(split, parties, given, features=store)
    assert [message.payload.value_bytes for message in second] == [4 * 7 * 16 * 4]
    outcome, third = one_exchange(split, parties, given, features=store)
    assert third == []
    assert all(torch.equal(store.kept[row], hidden) for row, hidden in before.items())
    _, fresh = one_exchange(split, parties, given, features=ActivationCache(0))
    assert fresh[0].payload.tensor == np.stack([store.kept[row].numpy() for row in range(6)]).tobytes()
    again, _ = one_exchange(split, parties, given, features=ActivationCache(0))
    assert again.loss == outcome.loss


def test_losses_come_down_where_the_ue_does_not_know_them():
    """Oracle: PyTorch's cross-entropy of the uncut network; 2 bytes a sample, none where the head is on the UE."""
    given = whole("bert")
    logits = given.network.module(**given.batch.inputs).logits.detach()
    wanted = torch.nn.functional.cross_entropy(logits, given.batch.labels, reduction="none")
    split, parties = cut_up(given, Cut())
    outcome, (_, back) = one_exchange(split, parties, given, report_losses=True)
    np.testing.assert_allclose(outcome.losses, wanted, rtol=1e-5)
    assert len(back.payload.losses) == 2 * 6
    np.testing.assert_allclose(np.frombuffer(back.payload.losses, "<f2"), wanted, rtol=1e-3)
    split, parties = cut_up(given, Cut(shape="u_shaped", after=(1, 2)))
    _, messages = one_exchange(split, parties, given, report_losses=True)
    assert not any(message.payload.losses for message in messages)

"""The slimmable bottleneck: sizes, equality with plain matrices, sandwich training, accuracy of every width."""

import numpy as np
import pytest
import torch

from channel.seeding import stream
from ran.learning.split.bottleneck import Bottleneck, bottleneck_problem
from ran.learning.split.cut import Cut
from ran.learning.split.smashed_data import SmashedData
from tests.ran.learning.split.conftest import cut_up, one_exchange, whole

QUARTERS = (0.25, 0.5, 0.75, 1.0)


def test_bits_fall_in_exact_proportion_to_the_width():
    """Oracle: B L r width numbers of 4 bytes, both ways."""
    given = whole("bert")
    split, parties = cut_up(given, Cut(), SmashedData(bottleneck=Bottleneck(size=8, widths=QUARTERS)))
    for width in QUARTERS:
        _, messages = one_exchange(split, parties, given, width=width)
        assert [message.payload.value_bytes for message in messages] == [6 * 7 * 8 * width * 4] * 2


def test_a_bottleneck_as_wide_as_the_network_changes_nothing():
    """Oracle: gradients of the uncut network: at first, the encoder is a rotation and the decoder turns it back."""
    given = whole("bert")
    loss, wanted = given.gradients()
    split, parties = cut_up(given, Cut(shape="u_shaped", after=(1, 2)), SmashedData(bottleneck=Bottleneck(size=16)))
    outcome, _ = one_exchange(split, parties, given)
    assert outcome.loss == pytest.approx(loss, rel=1e-4)
    for party in parties.values():
        for name, leaf in party.leaves.items():
            assert leaf.grad is not None or wanted[name].abs().max() == 0
            if name in wanted and leaf.grad is not None:
                torch.testing.assert_close(leaf.grad, wanted[name], atol=1e-5, rtol=1e-3)
    assert {name for name in parties["ue"].leaves if "bottleneck" in name} == {
        "bottleneck.1.encoder", "bottleneck.2.decoder", "bottleneck.2.bias.16",
    }  # fmt: skip
    assert {name for name in parties["gnb"].leaves if "bottleneck" in name} == {
        "bottleneck.1.decoder", "bottleneck.1.bias.16", "bottleneck.2.encoder",
    }  # fmt: skip


def test_a_sandwich_is_the_mean_of_its_widths():
    """Oracle: the mean of the gradients of each width alone, up to the sent one; without a byte more."""
    given = whole("bert")
    one, many = (
        SmashedData(bottleneck=Bottleneck(size=8, widths=QUARTERS, training=training))
        for training in ("sent", "sandwich")
    )
    total = dict[str, torch.Tensor]()
    for width in QUARTERS[:3]:
        split, parties = cut_up(given, Cut(), one)
        one_exchange(split, parties, given, width=width)
        for party in parties.values():
            for name, leaf in party.leaves.items():
                if leaf.grad is not None:
                    total[name] = total.get(name, 0) + leaf.grad / 3
    split, parties = cut_up(given, Cut(), many)
    outcome, messages = one_exchange(split, parties, given, width=0.75)
    got = {
        name: leaf.grad for party in parties.values() for name, leaf in party.leaves.items() if leaf.grad is not None
    }
    assert got.keys() == total.keys()
    for name, gradient in total.items():
        torch.testing.assert_close(got[name], gradient, atol=1e-6, rtol=1e-4)
    assert [message.payload.value_bytes for message in messages] == [6 * 7 * 6 * 4] * 2
    split, parties = cut_up(given, Cut(), one)
    assert one_exchange(split, parties, given, width=0.75)[0].loss == pytest.approx(outcome.loss, rel=1e-6)


def test_bad_bottlenecks_are_refused():
    """Oracle: the sentences."""
    for fields, words in (
        ({"size": 6, "widths": (0.25, 1.0)}, "width 0.25 of size 6 is no whole number; make size a multiple of 4"),
        ({"size": 8, "widths": (0.5,)}, "widths must ascend and end at 1"),
        ({"size": 8, "widths": (1.0, 0.5)}, "widths must ascend"),
    ):
        with pytest.raises(ValueError, match=words):
            Bottleneck(**fields)
    assert bottleneck_problem(None, (3, 4, 4)) is None
    assert "images of 3x4x4" in str(bottleneck_problem(Bottleneck(size=4), (3, 4, 4)))
    assert "set it to 16 or less" in str(bottleneck_problem(Bottleneck(size=17), (7, 16)))
    assert bottleneck_problem(Bottleneck(size=16), (7, 16)) is None


def test_equal_streams_draw_equal_bottlenecks():
    """Property: orthonormal directions, the same ones from the same stream."""
    first, second = (Bottleneck(size=4).draw(0, 16, stream(3, "x")) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    np.testing.assert_allclose(first["bottleneck.0.encoder"] @ first["bottleneck.0.decoder"], np.eye(4), atol=1e-6)

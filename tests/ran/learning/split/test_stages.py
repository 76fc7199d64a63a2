"""Cuts and stages: names, whose parameters are whose, what is refused."""

import pytest
import torch
from pydantic import ValidationError
from transformers import GPT2Config, GPT2ForSequenceClassification

from channel.errors import UserError
from channel.seeding import stream
from ran.learning.adapters import Full, Lora
from ran.learning.split.bottleneck import Bottleneck
from ran.learning.split.cut import Cut
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.split_network import SplitNetwork
from ran.learning.split.stages import cut_indices, stages_of, tie_problem
from tests.ran.learning.split.conftest import cut_up, whole


def test_a_cut_is_named_by_its_layer_or_counted():
    """Oracle: BERT's own names; a whole name, or its end as far as dots go."""
    module = whole("bert").network.module
    for where in (2, "bert.encoder.layer.1", "encoder.layer.1", "layer.1"):
        assert cut_indices(module, Cut(after=(where,))) == [2]
    assert cut_indices(module, Cut(shape="u_shaped", after=("layer.0", 3))) == [1, 3]
    for where in (4, "layer.7", "ayer.1", "encoder"):
        with pytest.raises(
            UserError, match=rf"after layer {where} of a model with 3; choose 1 to 3, or a name from bert"
        ):
            cut_indices(module, Cut(after=(where,)))
    with pytest.raises(UserError, match=r"cuts must ascend, but come after layers \[2, 1\]"):
        cut_indices(module, Cut(shape="u_shaped", after=("layer.1", "layer.0")))


def test_a_cut_has_as_many_places_as_its_shape():
    """Oracle: the sentences; one place needs no list."""
    assert Cut.model_validate({"after": 3}) == Cut(after=(3,))
    for fields, words in (
        ({"after": [1, 2]}, "two_way takes one cut, but `after` has 2"),
        ({"shape": "u_shaped"}, r"u_shaped takes two cuts, but `after` has 1; give 2 such as \[1, 2\]"),
        ({"shape": "three_way", "after": [2, 2]}, "`after` must ascend"),
        ({"after": [0]}, "greater than or equal to 1"),
    ):
        with pytest.raises(ValidationError, match=words):
            Cut.model_validate(fields)


@pytest.mark.parametrize("kind", ["bert", "vit", "mlp", "cnn", "resnet"])
def test_every_parameter_has_one_owner(kind):
    """Oracle: names written by the checkpoint: embeddings first, head last, and nothing twice."""
    given = whole(kind)
    stages = stages_of(given.network, Cut(shape="three_way", after=(1, 2)), given.batch.inputs)
    names = [name for stage in stages for name in stage.trainable]
    assert sorted(names) == sorted(given.network.trainable)
    assert tie_problem(stages) is None
    if kind in ("bert", "vit"):
        assert all("layer.0." in name or "layers.0." in name or "embeddings" in name for name in stages[0].trainable)
        assert all("layer.1." in name or "layers.1." in name for name in stages[1].trainable)
        assert any(name.startswith("classifier") for name in stages[2].trainable)


def test_lora_has_factors_on_both_sides():
    """Oracle: PEFT's names; the frozen base is held by whoever runs it, and PEFT's spare head by the last."""
    given = whole("vit", Lora(rank=2))
    stages = stages_of(given.network, Cut(after=(2,)), given.batch.inputs)
    assert [len(stage.trainable) for stage in stages] == [8, 4 + 2]
    assert sum(each.numel() for stage in stages for each in stage.parameters.values()) == sum(
        each.numel() for each in given.network.module.parameters()
    )


def test_a_tied_vocabulary_is_refused_across_nodes():
    """Oracle: the sentence; U-shaped, both ends are the UE's, and LoRA leaves the vocabulary alone."""
    given = whole("gpt2")
    two, u = (stages_of(given.network, cut, given.batch.inputs) for cut in (Cut(), Cut(shape="u_shaped", after=(1, 2))))
    assert "the ue and the gnb would both train transformer.wte.weight, which is tied" in str(tie_problem(two))
    assert tie_problem(u) is None
    given = whole("gpt2", Lora(train_head="no"))
    assert tie_problem(stages_of(given.network, Cut(), given.batch.inputs)) is None


@pytest.mark.parametrize("padding", [0, 3])
def test_a_classifier_on_the_last_token_finds_it_by_the_mask(padding):
    """Oracle: the uncut GPT-2, which looks for its padding token among the inputs; the check at building compares."""
    config = GPT2Config(
        n_embd=16, n_layer=2, n_head=2, n_positions=8, vocab_size=30, pad_token_id=padding, num_labels=3
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Full().attach(GPT2ForSequenceClassification(config))
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, padding, padding]])
    inputs = {"input_ids": tokens, "attention_mask": (tokens != padding).long()}
    assert len(stages_of(network, Cut(), inputs)) == 2


class Skips(torch.nn.Module):
    """Layers of which the last one looks back at the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        self.stack = [self.first, self.second]

    def forward(self, x):
        from types import SimpleNamespace

        return SimpleNamespace(logits=self.second(self.first(x)) + x)


def test_a_network_that_looks_back_across_the_cut_is_refused():
    """Oracle: the sentence: the gNB does not know the input that it would need."""
    from ran.learning.tasks.network import Network

    module = Skips()
    network = Network(module, dict(sorted(module.named_parameters())))
    with pytest.raises(UserError, match="a Skips model's layers need more than the hidden states"):
        stages_of(network, Cut(), {"x": torch.ones(1, 2)})


def test_what_cannot_cross_is_refused():
    """Oracle: the sentences, for images through a bottleneck, one too wide, and compressors of models."""
    for kind, size, words in (("cnn", 4, "images of 4x8x8"), ("bert", 17, "17 is more than the 16 numbers")):
        given = whole(kind)
        with pytest.raises(UserError, match=words):
            SplitNetwork.of(
                given.network, Cut(), SmashedData(bottleneck=Bottleneck(size=size)), given.batch.inputs, stream(1, "x")
            )
    data = SmashedData.model_validate({"activations": {"name": "sign"}, "gradients": {"name": "int8"}})
    assert data.problems() == [
        "`activations`: sign is made for updates of a model; set it to one of none, fp16, bf16, int8, fp8, top_k"
    ]


def test_a_party_has_copies_of_its_own():
    """Property: training a party leaves the network as it was; read gives back what of was given."""
    given = whole("bert")
    split, parties = cut_up(given, Cut())
    before = given.network.read()
    with torch.no_grad():
        for leaf in parties["ue"].leaves.values():
            leaf.add_(1)
    assert all((given.network.read()[name] == before[name]).all() for name in before)
    assert all((parties["ue"].read()[name] == before[name] + 1).all() for name in split.names("ue"))

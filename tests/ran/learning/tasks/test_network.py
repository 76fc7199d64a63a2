"""Checkpoints and adapters: what is trainable, and what does not fit together."""

import json
import shutil

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertForSequenceClassification

from channel.errors import UserError
from ran.learning.adapters import Full, HeadOnly, Lora
from ran.learning.models import GlyphVit, HuggingFace
from ran.learning.tasks.network import check_fit, load_base

DIGITS = tuple("0123456789")


@pytest.fixture
def bert_folder(tmp_path):
    """A tiny BERT without a classifier."""
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    BertModel(config).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def fresh_glyph_vit():
    return load_base(GlyphVit(), "image_classification", DIGITS)


def test_each_adapter_trains_what_it_says():
    """Oracle: counting by hand. 8 (64 + 64) on q and v of 3 layers; 64 * 10 + 10 in the head; everything."""
    lora, head, everything = 3 * 2 * 8 * (64 + 64), 64 * 10 + 10, 102_666
    for adapter, expected in [
        (Lora(), lora + head), (Lora(train_head="no"), lora), (HeadOnly(), head), (Full(), everything),
        (Lora(rank=2, target_modules=("fc1",), train_head="no"), 3 * 2 * (64 + 128)),
    ]:  # fmt: skip
        network = adapter.attach(fresh_glyph_vit())
        trainable = [each for each in network.module.parameters() if each.requires_grad]
        assert sum(each.numel() for each in trainable) == expected
        assert sum(array.size for array in network.read().values()) == expected
        assert {id(each) for each in trainable} == {id(each) for each in network.trainable.values()}


def test_load_and_read_are_inverse_and_copies():
    """Property: what is loaded is read, bit for bit; neither keeps hold of the caller's arrays."""
    network = Lora().attach(fresh_glyph_vit())
    arrays = {name: array + 0.5 for name, array in network.read().items()}
    network.load(arrays)
    back = network.read()
    assert all((back[name] == arrays[name]).all() for name in arrays)
    head = "base_model.model.classifier.bias"
    expected = arrays[head].copy()
    arrays[head] += 1
    back[head] += 2
    assert (network.read()[head] == expected).all()


def test_alpha_over_rank_scales_the_update():
    """Oracle: W + (alpha / rank) B A, computed by hand on one layer."""
    network = Lora(rank=4, alpha=10.0).attach(fresh_glyph_vit())
    layer = network.module.base_model.model.vit.layers[0].attention.q_proj
    torch.nn.init.ones_(layer.lora_B["default"].weight)
    x = torch.linspace(-1, 1, 64)
    expected = layer.base_layer(x) + 10.0 / 4 * torch.ones(64, 4) @ (layer.lora_A["default"].weight @ x)
    torch.testing.assert_close(layer(x), expected)


def test_unknown_target_modules_are_refused():
    """Oracle: the sentence lists the layers there are; the end of a name alone is not enough."""
    for name in ("query", "proj"):
        with pytest.raises(UserError, match=rf"no layer is called '{name}' in vit; .*fc1, fc2, k_proj, o_proj, q_proj"):
            Lora(target_modules=("v_proj", name)).attach(fresh_glyph_vit())


def test_a_checkpoint_without_classifier_gets_one(bert_folder):
    """Oracle: three classes in, three logits out; query and value are found; the draw follows torch's seed."""

    def build(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return Lora(rank=2).attach(load_base(HuggingFace(path=bert_folder), "text_classification", ("a", "b", "c")))

    network = build(1)
    head = "base_model.model.classifier.weight"
    assert network.module(input_ids=torch.zeros(1, 4, dtype=torch.int64)).logits.shape == (1, 3)
    assert sorted({name.split(".")[-3] for name in network.trainable if "lora" in name}) == ["query", "value"]
    assert (build(1).read()[head] == network.read()[head]).all()
    assert (build(2).read()[head] != network.read()[head]).any()


def test_a_folder_is_loaded_as_the_embedded_model_is(tmp_path):
    """Property: a copy of glyph_vit given by its path is the same network."""
    shutil.copytree(GlyphVit().source, tmp_path / "copy")
    assert HuggingFace(path=str(tmp_path / "copy")).problems() == []
    copy = load_base(HuggingFace(path=str(tmp_path / "copy")), "image_classification", DIGITS)
    for one, other in zip(copy.parameters(), fresh_glyph_vit().parameters(), strict=True):
        assert torch.equal(one, other)


def test_local_folders_are_checked_before_a_run(tmp_path):
    """Oracle: the sentences; a hub name is not looked for on disk."""
    assert HuggingFace(path="owner/model").problems() == []
    assert HuggingFace(path=str(tmp_path / "no")).problems()[0].startswith("`path`: no folder")
    assert "has no config.json" in HuggingFace(path=str(tmp_path)).problems()[0]


def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path, bert_folder):
    """Oracle: sentences; weights that are a pickle are not read."""
    with pytest.raises(
        UserError, match=r"cannot load 'nobody/nothing'.* pass a local copy: --set learning.model.path="
    ) as caught:
        load_base(HuggingFace(path="nobody/nothing"), "text_classification", ("a", "b"))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is a bert model, which cannot do image_classification"):
        load_base(HuggingFace(path=bert_folder), "image_classification", DIGITS)
    shutil.copytree(bert_folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(UserError, match="no weights in safetensors format"):
        load_base(HuggingFace(path=str(tmp_path / "pickled")), "text_classification", ("a", "b"))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    with pytest.raises(UserError, match="cannot load"):
        load_base(HuggingFace(path=str(tmp_path / "strange")), "text_classification", ("a", "b"))


def test_texts_longer_than_the_model_are_refused():
    """Oracle: both lengths in the sentence."""
    config = BertConfig(max_position_embeddings=512)
    check_fit(config, "text_classification", (512,))
    with pytest.raises(UserError, match=r"up to 600 tokens, .* at most 512; set learning.task.max_length: 512"):
        check_fit(config, "text_classification", (600,))


def test_query_and_value_are_found_under_their_other_names():
    """Oracle: DistilBERT calls them q_lin and v_lin; its classifier has two layers, both of which are trained."""
    config = DistilBertConfig(vocab_size=20, dim=8, n_layers=1, n_heads=2, hidden_dim=8, num_labels=2)
    names = {
        name.split(".", 2)[2] for name in Lora(rank=2).attach(DistilBertForSequenceClassification(config)).trainable
    }
    attention = "distilbert.transformer.layer.0.attention"
    assert {name for name in names if "lora_A" in name} == {f"{attention}.{part}_lin.lora_A.weight" for part in "qv"}
    assert {"pre_classifier.weight", "classifier.weight"} <= names

"""Rendered digits, and the network that was pre-trained on them."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ran.learning.models import GlyphVit
from ran.learning.tasks import pretrain_glyphs
from ran.learning.tasks.glyphs import CANVAS, FONTS, draw_digits, render_glyphs, sheet
from ran.learning.tasks.network import load_base


@pytest.fixture(scope="module")
def glyphs():
    return render_glyphs()


def test_every_face_has_ten_different_digits(glyphs):
    """Property: no blank, no missing-glyph box repeated, ink inside the canvas."""
    assert glyphs.shape == (len(FONTS), 10, CANVAS, CANVAS)
    assert (glyphs.sum(dim=(2, 3)) > 50).all()
    assert glyphs[..., [0, -1], :].max() == 0
    assert glyphs[..., [0, -1]].max() == 0
    for face in glyphs:
        distances = torch.cdist(face.reshape(10, -1), face.reshape(10, -1))
        assert (distances + 99 * torch.eye(10)).min() > 3


def test_drawn_digits_are_bounded_repeatable_and_never_the_same_twice(glyphs):
    """Property: range, shape, all labels; one generator state gives one batch and the next another."""
    images, labels = draw_digits(glyphs, 200, torch.Generator().manual_seed(5))
    assert images.shape == (200, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1
    assert labels.unique().tolist() == list(range(10))
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(draw_digits(glyphs, 200, generator)[0], images)
    assert not torch.equal(draw_digits(glyphs, 200, generator)[0], images)


def test_digits_fill_their_height(glyphs):
    """Oracle: UCI's bounding-box scaling leaves neither the top nor the bottom rows empty."""
    images, _ = draw_digits(glyphs, 300, torch.Generator().manual_seed(0))
    assert (images[:, 0, :2].amax(dim=(1, 2)) > 0.15).float().mean() > 0.95
    assert (images[:, 0, -2:].amax(dim=(1, 2)) > 0.15).float().mean() > 0.95


def test_sheet_tiles_row_by_row():
    """Oracle: by hand; the third of three images starts the second row of two columns."""
    tiled = sheet(torch.arange(1.0, 4.0).reshape(3, 1, 1, 1).expand(3, 1, 8, 8), columns=2)
    assert tiled[::8, ::8].tolist() == [[1.0, 2.0], [3.0, 0.0]]


def test_shipped_network_reads_glyphs_it_has_never_seen(glyphs):
    """Oracle: chance is 10 %; the accuracy printed at the end of pre-training was near 90 %."""
    base = load_base(GlyphVit(), "image_classification", tuple("0123456789"))
    images, labels = draw_digits(glyphs, 500, torch.Generator().manual_seed(99))
    with torch.inference_mode():
        right = base(pixel_values=images * 2 - 1).logits.argmax(dim=1) == labels
    assert right.float().mean() > 0.8


def test_shipped_files_are_small_and_safe():
    """Oracle: the issue's bound of 1 MB; safetensors and JSON only."""
    from pathlib import Path

    files = sorted(Path(GlyphVit().source).iterdir())
    assert [file.name for file in files] == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert sum(file.stat().st_size for file in files) < 1_000_000


def test_pretraining_learns_and_repeats(tmp_path, monkeypatch):
    """Property: two runs give equal bits, the loss falls, and what is written is what ``glyph_vit`` ships."""
    monkeypatch.setattr(pretrain_glyphs, "BATCH_SIZE", 32)
    losses, weights = [], []
    for run in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = pretrain_glyphs.new_network()
        losses.append([loss for _, loss, _ in pretrain_glyphs.pretrain(network, steps=25)])
        pretrain_glyphs.save(network, tmp_path / str(run))
        weights.append(load_file(tmp_path / str(run) / "model.safetensors"))
    assert losses[0] == losses[1]
    assert sum(losses[0][-5:]) < sum(losses[0][:5])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    shipped = load_file(f"{GlyphVit().source}/model.safetensors")
    assert {name: each.shape for name, each in shipped.items()} == {
        name: each.shape for name, each in weights[0].items()
    }
    assert json.loads((tmp_path / "0" / "preprocessor_config.json").read_text())["image_mean"] == [0.5]


def test_learning_rate_warms_up_and_decays_to_zero():
    """Oracle: the formula's ends."""
    rates = [pretrain_glyphs.learning_rate(step) for step in (0, 99, 100, pretrain_glyphs.STEPS)]
    assert rates == pytest.approx([2e-5, 2e-3, 2e-3, 0.0])

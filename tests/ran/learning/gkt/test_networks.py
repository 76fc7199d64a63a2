"""FLOPs and parameters of the device: those of the architecture, counted by hand."""

import pytest
import torch

from ran.learning.flops import forward_flops
from ran.learning.gkt.networks import EdgeNetwork, ServerNetwork
from ran.learning.small_models import ResNet
from ran.learning.tasks.network import load_base


def convolution(channels_in, channels_out, size):
    """Return multiply-adds and parameters of a 3 x 3 convolution to ``size`` x ``size`` and its normalisation."""
    weights = 9 * channels_in * channels_out
    return weights * size**2, weights + 2 * channels_out


def block(channels_in, channels_out, size, stride):
    """Return those of a residual block whose output is ``size`` x ``size``."""
    first, second = convolution(channels_in, channels_out, size), convolution(channels_out, channels_out, size)
    shortcut = 0 if channels_in == channels_out and stride == 1 else channels_in * channels_out
    return first[0] + second[0] + shortcut * size**2, first[1] + second[1] + shortcut


def classifier(width, classes=10):
    """Return those of the last layer."""
    return width * classes, width * classes + classes


def total(*parts):
    return tuple(map(sum, zip(*parts, strict=True)))


def parameters(module):
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(("pixels", "stride"), [(8, 1), (28, 2)])
def test_device_flops_and_parameters(pixels, stride):
    """Oracle: closed form of every layer; the device's share is 28 to 32 times fewer FLOPs, 54 times fewer weights.

    Published for ResNet-8 beside ResNet-56 and -110: 9 to 17 times and 54 to 105 times.
    """
    model, images = ResNet(image_size=pixels, stem_stride=stride), torch.zeros(1, 1, pixels, pixels)
    large = load_base(model, "image_classification", tuple("0123456789"))
    edge, server = EdgeNetwork(large, 10), ServerNetwork(large)
    full, half, quarter = pixels // stride, -(-pixels // stride // 2), -(-pixels // stride // 4)
    stem = convolution(1, 8, full)
    of_edge = total(stem, block(8, 8, half, 2), classifier(8))
    of_server = total(block(8, 16, full, 1), block(16, 32, half, 2), block(32, 64, quarter, 2), classifier(64))
    of_large = total(stem, of_server)
    features, _ = edge(images)
    assert features.shape == (1, 8, full, full)
    for module, inputs, expected in (
        (edge, {"images": images}, of_edge),
        (server, {"features": features.detach()}, of_server),
        (large, {"pixel_values": images}, of_large),
    ):
        assert (forward_flops(module, inputs), parameters(module)) == (2 * expected[0], expected[1])
    assert 28 < of_large[0] / of_edge[0] < 32
    assert 53 < of_large[1] / of_edge[1] < 54


def test_parts_make_the_whole():
    """Oracle: the large network's own logits; the parts share its parameters, and blocks may be several a stage."""
    model, images = ResNet(widths=(8, 12), blocks=2), torch.rand(3, 1, 8, 8, generator=torch.Generator())
    large = load_base(model, "image_classification", tuple("0123456789"))
    edge, server = EdgeNetwork(large, 10), ServerNetwork(large)
    features, logits = edge(images)
    torch.testing.assert_close(server(features), large(images).logits)
    torch.testing.assert_close(edge.classify(features), logits)
    assert {id(each) for each in (*edge.stem.parameters(), *server.parameters())} == {
        id(each) for each in large.parameters()
    }
    assert len(large.blocks) == 4

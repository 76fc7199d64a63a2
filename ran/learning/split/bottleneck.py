"""A learned reduction of what crosses a cut: d numbers a token become r, of which a part may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from channel.component import Settings

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ran.learning.algorithms.algorithm import Arrays


class Bottleneck(Settings):
    """A linear encoder before the cut and a linear decoder after it, trained along; slimmable to several widths.

    Sent of a hidden state h are the first k = width x size numbers of z = E h; the other side goes on with
    D_k z_k + b_k, where D_k is the first k columns of D. One set of weights serves every width (slimmable networks, Yu
    et al., arXiv 1812.08928); what differs is b_k, as their batch normalisations do. As narrow codes are the first part
    of wide ones, a receiver of width w also trains the narrower ones on what it got (``training: sandwich``: the loss
    is the mean over all widths up to w; Yu & Huang, arXiv 1903.05134, take the widest, the narrowest and two at random,
    here there are few enough for all). That costs no byte, but as many forward and backward passes of the last part. At
    a cut with another one behind it, only the width that was sent is trained.
    """

    size: int = Field(ge=1, le=100_000, description="numbers a token at full width, r; at most the hidden size d")
    widths: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = Field(
        default=(1.0,), description="parts of the size that may be sent, ascending, the last one 1"
    )
    training: Literal["sandwich", "sent"] = Field(
        default="sandwich", description="widths that a batch trains: all up to the sent one, or that alone"
    )
    uplink_budget_s: float | None = Field(
        default=None, gt=0, le=1e6, description="uplink time of a batch's activations, s, by which its width is "
        "chosen from the rate at that moment: the widest within it, or the narrowest; null: always the full width"
    )  # fmt: skip

    @model_validator(mode="after")
    def _widths_are_whole(self) -> Bottleneck:
        if list(self.widths) != sorted(set(self.widths)) or self.widths[-1] != 1:
            raise ValueError(f"widths must ascend and end at 1, but are {list(self.widths)}; sort them and add 1")
        for width in self.widths:
            if abs(self.size * width - round(self.size * width)) > 1e-9 * self.size:
                raise ValueError(
                    f"width {width:g} of size {self.size} is no whole number; make size a multiple of "
                    f"{round(1 / min(self.widths))}"
                )
        return self

    def sent(self, width: float) -> int:
        """Return k, the numbers a token at a width."""
        assert width in self.widths, f"width {width} is none of {self.widths}"
        return round(self.size * width)

    def trained(self, width: float) -> tuple[float, ...]:
        """Return the widths that a batch trains that was sent at ``width``; the last one is that."""
        return tuple(w for w in self.widths if w <= width) if self.training == "sandwich" else (width,)

    def draw(self, cut: int, hidden_size: int, rng: np.random.Generator) -> Arrays:
        """Return the first weights after layer ``cut``: r random orthonormal directions, their transpose, biases zero.

        So a code holds k/d of the variance of isotropic hidden states at every width, and all of them at k = d.
        """
        import numpy as np

        assert self.size <= hidden_size, "a bottleneck is no wider than the hidden states"
        basis, _ = np.linalg.qr(rng.standard_normal((hidden_size, self.size)))
        basis = np.ascontiguousarray(basis, np.float32)
        biases = {f"{_prefix(cut)}.bias.{self.sent(w)}": np.zeros(hidden_size, np.float32) for w in self.widths}
        encoder = {f"{_prefix(cut)}.encoder": np.ascontiguousarray(basis.T)}
        return encoder | {f"{_prefix(cut)}.decoder": basis} | biases

    def encoder_names(self, cut: int) -> list[str]:
        """Return the names of the weights that the sender of a cut has."""
        return [f"{_prefix(cut)}.encoder"]

    def decoder_names(self, cut: int) -> list[str]:
        """Return the names of the weights that the receiver of a cut has."""
        return [f"{_prefix(cut)}.decoder", *(f"{_prefix(cut)}.bias.{self.sent(w)}" for w in self.widths)]

    def encode(self, hidden: torch.Tensor, weights: Mapping[str, torch.Tensor], cut: int, width: float) -> torch.Tensor:
        """Return the code [..., k] of hidden states [..., d]."""
        import torch

        return torch.nn.functional.linear(hidden, weights[f"{_prefix(cut)}.encoder"][: self.sent(width)])

    def decode(self, code: torch.Tensor, weights: Mapping[str, torch.Tensor], cut: int) -> torch.Tensor:
        """Return the hidden states [..., d] of a code [..., k]."""
        import torch

        k = code.shape[-1]
        decoder = weights[f"{_prefix(cut)}.decoder"][:, :k]
        return torch.nn.functional.linear(code, decoder, weights[f"{_prefix(cut)}.bias.{k}"])


def _prefix(cut: int) -> str:
    return f"bottleneck.{cut}"


def bottleneck_problem(bottleneck: Bottleneck | None, hidden_shape: tuple[int, ...]) -> str | None:
    """Return why hidden states of one sample, [num_tokens, d] or [d], cannot go through a bottleneck, or None."""
    if bottleneck is None:
        return None
    if len(hidden_shape) > 2:
        size = "x".join(map(str, hidden_shape))
        return f"`bottleneck`: what crosses the cut are images of {size}, no vectors; leave bottleneck out"
    if bottleneck.size > hidden_shape[-1]:
        return (
            f"`bottleneck.size`: {bottleneck.size} is more than the {hidden_shape[-1]} numbers that cross the cut; set "
            f"it to {hidden_shape[-1]} or less"
        )
    return None

"""ICGNN as a precoder that scenarios can name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from agents.gnn.network import PrecodingNetwork
    from ran.phy.precoding.streams import Streams

SHIPPED = {
    "sum": Path(__file__).with_name("icgnn.safetensors"),
    "proportional_fair": Path(__file__).with_name("icgnn_fair.safetensors"),
}
"""Weights by utility, made by `airtune train-precoder icgnn` and `airtune train-precoder icgnn_fair`."""


@PRECODERS.register("icgnn")
class ICGNN(Precoder):
    """Information-carrying graph network after Sun et al., arXiv 2408.17252: no inverse, any number of streams.

    The abstract fixes a homogeneous graph whose nodes share one network, and precoding by conjugate gradients. Chosen
    here: what a node is and knows, and passes between which the network sees what its last precoder does; see
    ``agents.gnn.icgnn_network``. Trained without labels on rates: for their sum weak streams may get no power, for the
    sum of their logarithms (``proportional_fair``) every stream gets some, so that rounds that wait for their last UE
    end sooner.
    """

    utility: Literal["sum", "proportional_fair"] = Field(
        default="sum", description="of the streams' rates, for which the shipped weights were trained"
    )
    weights: str = Field(
        default="", max_length=4096, description="safetensors file of `airtune train-precoder`  [default: shipped]"
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the access points and with the file of weights."""
        found = super().problems()
        if self.weights and not Path(self.weights).is_file():
            found.append(f"`weights`: there is no file {self.weights}; `airtune train-precoder` writes one")
        if self.weights and self.utility != "sum":
            found.append("`utility`: chooses between the shipped weights; leave it out beside `weights`")
        return found

    def solve(self, streams: Streams) -> Tensor:
        """Return the network's precoder with the full power, complex [..., M, K]."""
        network = _network(
            Path(self.weights) if self.weights else SHIPPED[self.utility], streams.noise.dtype, streams.noise.device
        )
        return network.steer(streams)


@lru_cache(maxsize=8)
def _network(path: Path, dtype: torch.dtype, device: torch.device) -> PrecodingNetwork:
    from agents.gnn.network import load

    return load(path).to(device=device, dtype=dtype)

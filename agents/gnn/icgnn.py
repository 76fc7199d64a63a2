"""ICGNN as a precoder that scenarios can name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from agents.gnn.network import PrecodingNetwork
    from ran.phy.precoding.streams import Streams

SHIPPED = Path(__file__).with_name("icgnn.safetensors")
"""Weights that `airtune train-precoder icgnn` made."""


@PRECODERS.register("icgnn")
class ICGNN(Precoder):
    """Information-carrying graph network after Sun et al., arXiv 2408.17252: no inverse, any number of streams.

    The abstract fixes a homogeneous graph whose nodes share one network, and precoding by conjugate gradients. Chosen
    here: what a node is and knows, and passes between which the network sees what its last precoder does; see
    ``agents.gnn.icgnn_network``. Trained without labels on sum rates; power is shared for their sum, so weak streams
    may get none.
    """

    weights: str = Field(
        default="", max_length=4096, description="safetensors file of `airtune train-precoder`  [default: shipped]"
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the access points and with the file of weights."""
        found = super().problems()
        if self.weights and not Path(self.weights).is_file():
            found.append(f"`weights`: there is no file {self.weights}; `airtune train-precoder` writes one")
        return found

    def solve(self, streams: Streams) -> Tensor:
        """Return the network's precoder with the full power, complex [..., M, K]."""
        network = _network(Path(self.weights) if self.weights else SHIPPED, streams.noise.dtype, streams.noise.device)
        return network.steer(streams)


@lru_cache(maxsize=8)
def _network(path: Path, dtype: torch.dtype, device: torch.device) -> PrecodingNetwork:
    from agents.gnn.network import load

    return load(path).to(device=device, dtype=dtype)

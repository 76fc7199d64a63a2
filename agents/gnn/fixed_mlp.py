"""A plain network of fixed size: what does not carry over to other sizes."""

from __future__ import annotations

from torch import Tensor, nn

from agents.gnn.icgnn_network import Graph, coefficients_of
from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams


class FixedMlp(PrecodingNetwork):
    """Shares and amplitudes of up to ``size`` streams from their squared correlations and noise, all in one vector.

    Fewer streams are padded with zeros; of more, those beyond ``size`` get no power. Neither order nor number of
    streams means anything to it beyond what it has seen.
    """

    def __init__(self, size: int = 8, width: int = 256, steps: int = 32) -> None:
        super().__init__()
        self.size, self.steps = size, steps
        last = nn.Linear(width, 2 * size)
        self.layers = nn.Sequential(
            nn.Linear(size * size + size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            last,
        )  # fmt: skip
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients, complex [..., K, K], alone."""
        graph = Graph.of(streams)
        count = graph.log_noise.shape[-1]
        seen = min(count, self.size)
        inputs = graph.log_noise.new_zeros(len(graph.log_noise), self.size, self.size + 1)
        inputs[:, :seen, :seen] = graph.gram[:, :seen, :seen].abs().square()
        inputs[:, :seen, -1] = (-(graph.log_noise + graph.log_count) / 4.0)[:, :seen]
        share, power = self.layers(inputs.flatten(1)).unflatten(-1, (2, self.size)).unbind(1)
        unseen = (0, count - seen)
        share = nn.functional.pad(share[:, :seen], unseen, value=-30.0)
        power = nn.functional.pad(power[:, :seen], unseen, value=-30.0)
        found = coefficients_of(graph, graph.log_shares(share), power, min(count, self.steps), 0.0)
        return [found.reshape(*streams.noise.shape, count)]

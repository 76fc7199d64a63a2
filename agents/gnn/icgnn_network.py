"""The network of ICGNN: passes of a graph network between precoders that conjugate gradients compute.

A node is a stream together with its channel: neither transmitter nor user, and no antenna is one, so that the graph is
homogeneous and one network serves all nodes for any number K of streams and M of antennas. With unit channels U,
G = U U^H and n_k = sigma^2 / (P ||h_k||^2), every Pareto optimal precoder is (Bjornson, Bengtsson & Ottersten, IEEE
Signal Process. Mag. 2014)

    V = U^H (G + diag(1/q))^-1 diag(c),    sum_k n_k q_k = 1,

so the network chooses two numbers a node: its share n_k q_k of the dual uplink's power, and its amplitude c_k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.gnn.conjugate_gradient import inverse_by_conjugate_gradients
from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams

_FEATURES = 9
_TOLERANCE = 0.01  # of conjugate gradients' residuals; their last product squares it
# Uplink signal-to-noise ratios beyond 50 dB are held there: single precision could not tell the matrix from a singular.
_MOST_LOG_RATIO = 11.5
_LEAST = 1e-30


@dataclass(frozen=True)
class Graph:
    """A batch of graphs.

    Attributes:
        gram: correlations G, complex [batch, K, K].
        log_noise: log n_k, real [batch, K].
        present: whether there is a stream, bool [batch, K].
        load: sum of |g_kj|^2 over the others j, real [batch, K].
    """

    gram: Tensor
    log_noise: Tensor
    present: Tensor
    load: Tensor

    @staticmethod
    def of(streams: Streams) -> Graph:
        """Return the graphs of channels, all leading axes as one."""
        size = streams.noise.shape[-1]
        gram = streams.gram().reshape(-1, size, size)
        noise, present = streams.noise.reshape(-1, size), streams.present.reshape(-1, size)
        return Graph(gram, noise.log(), present, torch.view_as_real(gram).square().sum((-2, -1)) - 1.0)

    @property
    def log_count(self) -> Tensor:
        """Logarithm of the number of streams, at least one, real [batch, 1]."""
        return self.present.sum(-1, keepdim=True).clamp(min=1).to(self.log_noise.dtype).log()

    def log_shares(self, logits: Tensor) -> Tensor:
        """Return the logarithms of positive shares that sum to 1 over the streams present, real [batch, K]."""
        return torch.log_softmax(torch.where(self.present, logits, -torch.inf).clamp(min=-1e4), -1)


@dataclass(frozen=True)
class Reception:
    """What a precoder does to every stream; powers are over P times the channel gain.

    Attributes:
        coupling: |h_k^T v_j|^2 without the diagonal, real [batch, K, K].
        signal: the diagonal, real [batch, K].
        disturbance: interference and noise, real [batch, K].
        log_weight: log(1 + SINR), real [batch, K].
    """

    coupling: Tensor
    signal: Tensor
    disturbance: Tensor
    log_weight: Tensor

    @property
    def total(self) -> Tensor:
        """All that a stream's user receives, real [batch, K]."""
        return self.signal + self.disturbance

    @staticmethod
    def of(graph: Graph, coefficients: Tensor | None) -> Reception:
        """Return the reception of V = U^H A a, A [batch, K, K] or the unit matrix, a such that the power is P."""
        if coefficients is None:
            received, power = graph.gram, graph.log_count[:, 0].exp()
        else:
            received = graph.gram @ coefficients
            power = (torch.view_as_real(coefficients) * torch.view_as_real(received)).sum((-3, -2, -1))
        gains = torch.view_as_real(received).square().sum(-1) / power.clamp(min=_LEAST)[:, None, None]
        signal = gains.diagonal(dim1=-2, dim2=-1)
        coupling = gains * (1.0 - torch.eye(gains.shape[-1], dtype=gains.dtype, device=gains.device))
        disturbance = coupling.sum(-1) + graph.log_noise.exp()
        return Reception(coupling, signal, disturbance, torch.log1p(signal / disturbance))


class Pass(nn.Module):
    """One pass: features of the nodes, two rounds of messages, and the next shares and amplitudes."""

    def __init__(self, width: int, rounds: int, *, first: bool, log_count: bool) -> None:
        super().__init__()
        self.first, self.log_count = first, log_count
        self.embed = nn.Linear(_FEATURES + log_count, width)
        turns = [nn.Linear(3 * width, width) for _ in range(rounds)]
        self.rounds: Sequence[nn.Linear] = nn.ModuleList(turns)  # type: ignore[assignment]
        self.everyone = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 3)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.tensor([0.0 if first else 1.0, 0.0, 0.0])

    def forward(self, graph: Graph, reception: Reception, log_share: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of the uplink shares and of the squared amplitudes before 1 / (1 + q), [batch, K]."""
        target = weighted_mmse_shares(graph, reception)
        features = _features(graph, reception, log_share, target)
        if self.log_count:  # what does not carry over to other sizes, kept to show it
            features = torch.cat([features, graph.log_count[..., None].expand_as(features[..., :1])], -1)
        hidden = torch.relu(self.embed(features))
        suffered = reception.coupling / reception.total[..., None]  # parts of what a node receives
        caused = suffered.mT
        mean = graph.present.to(hidden.dtype)[:, None] / graph.log_count.exp()[..., None]  # [batch, 1, K]
        for layer in self.rounds:
            heard = layer(torch.cat([hidden, suffered @ hidden, caused @ hidden], -1))
            hidden = hidden + torch.relu(heard + self.everyone(mean @ hidden))
        pull, share, amplitude = self.head(hidden).unbind(-1)
        power = amplitude if self.first else reception.log_weight + amplitude
        return graph.log_shares(log_share + pull * (target - log_share) + share), power

    def weights(self) -> tuple[Tensor, ...]:
        """Return the weights in the order of their use, those of all rounds as one, for ``icgnn_kernels``.

        Matrices have inputs before outputs. Hidden units, and outputs, are padded with zeros to a multiple of four.
        """
        width = self.head.in_features
        units = (width + 3) // 4 * 4
        turns = torch.stack([turn.weight.reshape(width, 3, width).permute(1, 2, 0) for turn in self.rounds])
        return (
            _padded(self.embed.weight.T, units),
            _padded(self.embed.bias, units),
            _padded(turns, units, units).flatten(-3, -2),
            _padded(torch.stack([turn.bias for turn in self.rounds]), units),
            _padded(self.everyone.weight.T, units, units),
            _padded(self.head.weight.T, units, 4),
            _padded(self.head.bias, 4),
        )


def _padded(x: Tensor, *sizes: int) -> Tensor:
    """Return x with zeros after its last axes, so that these have the given sizes."""
    more = [size - have for size, have in zip(reversed(sizes), reversed(x.shape), strict=False)]
    return nn.functional.pad(x, [each for amount in more for each in (0, amount)])


class IcgnnNetwork(PrecodingNetwork):
    """Passes from maximum ratio with equal powers on; freshly made it is a weighted-MMSE iteration from MMSE.

    Inverses are by conjugate gradients, each from the last, in training too, so that the network knows what it will
    get. The precoders on the way need only be good enough to look at: they get at most ``inner_steps`` steps, the last
    one K. On a CPU and in single precision ``steer`` is compiled; torch does the rest, and all training.
    """

    def __init__(
        self, passes: int = 3, width: int = 16, rounds: int = 2, inner_steps: int = 8, log_count: bool = False
    ) -> None:
        super().__init__()
        if min(passes, width, rounds) < 1:
            raise ValueError(f"passes, width and rounds are at least 1, got {passes}, {width} and {rounds}")
        layers = [Pass(width, rounds, first=index == 0, log_count=log_count) for index in range(passes)]
        self.passes: Sequence[Pass] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.inner_steps = inner_steps
        self._compiled: tuple[Tensor, tuple[NDArray[np.float32], ...]] | None = None

    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients of every pass, complex [..., K, K]."""
        graph, size = Graph.of(streams), streams.noise.shape[-1]
        log_share = graph.log_shares(torch.zeros_like(graph.log_noise))
        found, inverse = list[Tensor](), None
        for left, layer in zip(reversed(range(len(self.passes))), self.passes, strict=True):
            steps = min(size, self.inner_steps) if left else size
            log_share, log_power = layer(graph, Reception.of(graph, found[-1] if found else None), log_share)
            inverse = inverse_of(graph, log_share, steps, _TOLERANCE, inverse)
            found.append(scaled(graph, log_share, log_power, inverse))
        return [each.reshape(*streams.noise.shape, size) for each in found]

    def steer(self, streams: Streams) -> Tensor:
        """Return the precoder of the last pass, complex [..., M, K]; compiled on a CPU in single precision."""
        if streams.noise.dtype != torch.float32 or streams.noise.device.type != "cpu":
            return super().steer(streams)
        from agents.gnn.steering_kernels import steer

        *lead, size, antennas = streams.h.shape
        batch = math.prod(lead)
        rows = torch.empty(streams.h.shape, dtype=torch.complex64)
        h, v = (torch.view_as_real(each.resolve_conj().contiguous()) for each in (streams.h.detach(), rows))
        nodes = (streams.strength, streams.noise, streams.present)
        steer(
            h.reshape(batch, size, antennas, 2).numpy(),
            *(each.detach().float().contiguous().reshape(batch, size).numpy() for each in nodes),
            streams.power_w.detach().expand(*streams.h.shape[:-2], 1, 1).reshape(batch).numpy(),
            self._stacked(), (self.inner_steps, np.float32(_TOLERANCE), np.float32(_MOST_LOG_RATIO)),
            v.reshape(batch, size, antennas, 2).numpy(),
        )  # fmt: skip
        return rows.mT

    def _stacked(self) -> tuple[NDArray[np.float32], ...]:
        """Return the weights of all passes, [passes, ...] each, as ``Pass.weights``; made once for given weights."""
        state = torch.cat([each.detach().flatten() for each in self.parameters()])
        if self._compiled is None or not torch.equal(self._compiled[0], state):
            layers = zip(*(layer.weights() for layer in self.passes), strict=True)
            self._compiled = state, tuple(torch.stack(each).detach().contiguous().numpy() for each in layers)
        return self._compiled[1]


def coefficients_of(graph: Graph, log_share: Tensor, log_power: Tensor, steps: int, tolerance: float) -> Tensor:
    """Return A = (G + diag(1/q))^-1 diag(c) up to scale, complex [batch, K, K]; see ``inverse_of`` and ``scaled``."""
    return scaled(graph, log_share, log_power, inverse_of(graph, log_share, steps, tolerance))


def inverse_of(graph: Graph, log_share: Tensor, steps: int, tolerance: float, start: Tensor | None = None) -> Tensor:
    """Return C^-1, C = I + S (G - I) S with S^2 = q / (1 + q), complex [batch, K, K].

    C is S (G + diag(1/q)) S, whose diagonal is one, so that q may be anything. ``start`` is the inverse for other q.
    """
    log_scale = 0.5 * nn.functional.logsigmoid((log_share - graph.log_noise).clamp(max=_MOST_LOG_RATIO))
    scale = torch.where(graph.present, log_scale.exp(), 0.0)
    off_diagonal = graph.gram * (scale[..., :, None] * scale[..., None, :])
    matrix = off_diagonal - torch.diag_embed(off_diagonal.diagonal(dim1=-2, dim2=-1) - 1.0)
    return inverse_by_conjugate_gradients(matrix, steps, tolerance, start)


def scaled(graph: Graph, log_share: Tensor, log_power: Tensor, inverse: Tensor) -> Tensor:
    """Return A = S C^-1 S diag(c) up to scale, c^2 = power / (1 + q) / S^2, for C^-1 of ``inverse_of``."""
    log_q = log_share - graph.log_noise
    log_scale = 0.5 * nn.functional.logsigmoid(log_q.clamp(max=_MOST_LOG_RATIO))
    # Rows over the largest: only the scale of all is free.
    rows = torch.where(graph.present, (log_scale - log_scale.amax(-1, keepdim=True)).exp(), 0.0)
    log_column = 0.5 * (log_power + nn.functional.logsigmoid(-log_q))
    log_column = torch.where(graph.present, log_column, -torch.inf)
    columns = (log_column - log_column.amax(-1, keepdim=True).clamp(min=-1e4)).exp()
    return inverse * (rows[..., :, None] * columns[..., None, :])


def weighted_mmse_shares(graph: Graph, reception: Reception) -> Tensor:
    """Return the logarithms of the uplink shares that one round of weighted MMSE would choose, real [batch, K].

    n_k q_k is in proportion to n_k w_k |R_kk|^2 / T_k^2, with w_k = 1 + SINR_k and T_k all that node k receives.
    """
    log_signal = reception.signal.clamp(min=_LEAST).log()
    return graph.log_shares(reception.log_weight + log_signal - 2.0 * reception.total.log() + graph.log_noise)


def _features(graph: Graph, reception: Reception, log_share: Tensor, target: Tensor) -> Tensor:
    """Return what a node knows before it hears from others, real [batch, K, _FEATURES].

    Logarithms are of ratios to the equal share, since a count itself would not carry over to other sizes.
    """
    log_count = graph.log_count
    noise = graph.log_noise.exp()
    price = reception.coupling / reception.disturbance[..., None]  # rate that others lose by a node's power
    bounded = [
        -(graph.log_noise + log_count),
        log_share + log_count,
        target + log_count,
        reception.signal.clamp(min=_LEAST).log() - graph.log_noise,
        reception.signal.clamp(min=_LEAST).log() + log_count,
    ]
    parts = [
        reception.log_weight,
        1.0 - noise / reception.disturbance,
        price.sum(-2),
        graph.load,
    ]
    logs = [each.clamp(-14.0, 14.0) / 4.0 for each in bounded]
    return torch.where(
        graph.present[..., None], torch.stack([*logs, *(part.clamp(max=8.0) for part in parts)], -1), 0.0
    )

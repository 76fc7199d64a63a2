"""ICGNN's power allocation in a cell-free network: passes that see what the last allocation does to every user.

A node is a link of an AP with a user it serves: neither AP nor user is one, so that the graph is homogeneous and one
network serves any number of APs, users, antennas and links. Neighbours are the links of the same AP and those of the
same user. For any increasing utility of the SINRs the allocations that meet the first-order conditions, for the least
SINR the optimum itself, have the form (with u_k = sum_m s_mk a_mk, I_k the interference and noise, w_k the weights)

    a_mk = s_mk x_k / max(mu_m, ||(s_mj x_j)_j||),    x_k = w_k / u_k,    mu_m = sum_j w_j b_mj / I_j,

found by setting the Lagrangian's derivative by a_mk to zero: an AP is held back by its power or by mu, what others lose
by its interference. A pass moves x towards the weights of the utility, as far as its nodes say, and then sets a.

Of arXiv 2408.17252 the abstract's terms are kept: a virtual homogeneous graph, one network for all nodes, any number of
users, APs and antennas. Chosen here: links as nodes; the form above, so that the network only says how far x goes and
mu counts, K + M numbers a pass that are means over links; features that see what the last allocation does, as ratios,
since a count would not carry over to other sizes; passes with weights of their own, each of which ends in powers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from agents.gnn.cell_free import CellFree

_FEATURES = 11
_LEAST = 1e-30
_MOST_STEP = 6.0  # of log x in one pass
SHIPPED = Path(__file__).with_name("cell_free.safetensors")
"""Weights that `airtune train-precoder cell_free` made."""
UTILITIES = ("max_min", "sum", "proportional_fair")


@dataclass(frozen=True)
class Service:
    """What an allocation does.

    Attributes:
        share: a_mk s_mk / u_k, the links' parts of a user's signal, real [..., M, K].
        power: sum of a_mk^2, real [..., M, 1].
        received: u_k, real [..., K].
        disturbance: I_k, interference of all users, the user itself too, and noise, real [..., K].
    """

    share: Tensor
    power: Tensor
    received: Tensor
    disturbance: Tensor

    @staticmethod
    def of(problem: CellFree, amplitude: Tensor) -> Service:
        """Return the service of amplitudes a [..., M, K]."""
        signal = problem.signal * amplitude
        received = signal.sum(-2).clamp(min=_LEAST)
        power = amplitude.square().sum(-1, keepdim=True)
        disturbance = 1.0 + (problem.gain * power).sum(-2)
        return Service(signal / received[..., None, :], power, received, disturbance)

    @property
    def log_sinr(self) -> Tensor:
        """Logarithm of the SINRs, real [..., K]."""
        return 2.0 * self.received.log() - self.disturbance.log()

    def price(self, problem: CellFree, log_x: Tensor) -> Tensor:
        """Return the parts w_k b_mk / I_k of mu_m, real [..., M, K]."""
        weight = log_x.exp() * self.received / self.disturbance
        return problem.gain * torch.where(problem.present, weight, 0.0)[..., None, :]


class Round(nn.Module):
    """Messages: a node hears what its user's links say by their part in the signal, its AP's, and all in the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.same_user, self.same_ap, self.everyone = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, hidden: Tensor, share: Tensor, at_ap: Tensor, mean: Tensor) -> Tensor:
        """Return the next states, real [..., M, K, width]; weights of messages are [..., M, K]."""
        of_user = self.same_user((share[..., None] * hidden).sum(-3, keepdim=True))
        of_ap = self.same_ap((at_ap[..., None] * hidden).sum(-2, keepdim=True))
        of_all = self.everyone((mean[..., None] * hidden).sum((-3, -2), keepdim=True))
        return hidden + torch.relu(self.own(hidden) + of_user + (of_ap + of_all))


class Pass(nn.Module):
    """One pass: features of the links, messages along users and APs, and the next x and a."""

    def __init__(self, width: int, rounds: int) -> None:
        super().__init__()
        self.embed = nn.Linear(_FEATURES, width)
        self.rounds = nn.ModuleList(Round(width) for _ in range(rounds))
        self.head = nn.Linear(width, 3)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.tensor([1.0, 0.0, 0.0])

    def forward(
        self, problem: CellFree, utility: str, amplitude: Tensor, log_x: Tensor, last: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next amplitudes [..., M, K], log x, and by how much that changed, [..., K]."""
        served = (problem.signal > 0).to(amplitude.dtype)
        service = Service.of(problem, amplitude)
        wanted = 0.5 * (log_weight(utility, service, log_x) - log_x - service.received.log())
        wanted = _centred(wanted, problem.present).clamp(-_MOST_STEP, _MOST_STEP)
        price = service.price(problem, log_x)
        at_ap = served / served.sum(-1, keepdim=True).clamp(min=1.0)
        hidden = torch.relu(self.embed(_features(problem, service, amplitude, price, log_x, wanted, last)))
        mean = served / served.sum((-2, -1), keepdim=True).clamp(min=1.0)
        for layer in self.rounds:
            hidden = layer(hidden, service.share, at_ap, mean)
        pull, push, hold = self.head(hidden).unbind(-1)
        step = (service.share * pull).sum(-2) * wanted + (service.share * push).sum(-2)
        step = _centred(step, problem.present).clamp(-_MOST_STEP, _MOST_STEP)
        log_x = _centred(log_x + step, problem.present)
        held = (at_ap * hold).sum(-1, keepdim=True).clamp(-_MOST_STEP, _MOST_STEP).exp()
        return _amplitude(problem, log_x, held * service.price(problem, log_x).sum(-1, keepdim=True)), log_x, step


class CellFreeNetwork(nn.Module):
    """Passes from fractional power on; freshly made it is a fixed-point iteration for the utility.

    Args:
        passes: number of passes, each with weights of its own.
        width: of a node's hidden state.
        rounds: of messages in a pass.
        utility: what the passes pull towards: max_min, sum or proportional_fair.
    """

    def __init__(self, passes: int = 6, width: int = 16, rounds: int = 1, utility: str = "max_min") -> None:
        super().__init__()
        if utility not in UTILITIES:
            raise TypeError(f"`utility` is one of {', '.join(UTILITIES)}, not {utility!r}")
        self.utility = utility
        self.passes = nn.ModuleList(Pass(width, rounds) for _ in range(passes))

    def forward(self, problem: CellFree) -> list[Tensor]:
        """Return the amplitudes of every pass, real [..., M, K], each within every AP's power."""
        amplitude = problem.fractional(0.5)
        service = Service.of(problem, amplitude)
        log_x = _centred(service.received.log() - service.disturbance.log(), problem.present)
        last, found = torch.zeros_like(log_x), list[Tensor]()
        for layer in self.passes:
            amplitude, log_x, last = layer(problem, self.utility, amplitude, log_x, last)
            found.append(amplitude)
        return found


def log_weight(utility: str, service: Service, log_x: Tensor) -> Tensor:
    """Return log w_k that the utility asks for: its derivative by log SINR_k, [..., K].

    For the least SINR it is what makes all equal: the present weights over the SINRs.
    """
    log_sinr = service.log_sinr
    if utility == "max_min":
        return log_x + service.received.log() - log_sinr
    if utility == "sum":
        return nn.functional.logsigmoid(log_sinr)
    return nn.functional.logsigmoid(log_sinr) - nn.functional.softplus(log_sinr).clamp(min=_LEAST).log()


def _amplitude(problem: CellFree, log_x: Tensor, price: Tensor) -> Tensor:
    wish = problem.signal * log_x.exp()[..., None, :]
    return wish / torch.maximum(torch.linalg.vector_norm(wish, dim=-1, keepdim=True), price).clamp(min=_LEAST)


def _centred(values: Tensor, present: Tensor) -> Tensor:
    """Return values of users less their mean, 0 for absent ones, [..., K]."""
    values = torch.where(present, values, 0.0)
    mean = values.sum(-1, keepdim=True) / present.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(present, values - mean, 0.0)


def _features(
    problem: CellFree, service: Service, amplitude: Tensor, price: Tensor, log_x: Tensor, wanted: Tensor, last: Tensor
) -> Tensor:
    """Return what a node knows before it hears from others, real [..., M, K, _FEATURES]; no count is among it."""
    log_sinr = torch.where(problem.present, service.log_sinr, torch.inf)
    least = log_sinr.amin(-1, keepdim=True).clamp(max=30.0)
    total = price.sum(-1, keepdim=True)
    bound = torch.linalg.vector_norm(problem.signal * log_x.exp()[..., None, :], dim=-1, keepdim=True)
    of_user = [wanted, last, log_sinr - least, log_sinr, -service.disturbance.log()]
    of_ap = [service.power, (total.clamp(min=_LEAST).log() - bound.clamp(min=_LEAST).log()) / 4.0]
    of_link = [
        service.share,
        problem.gain * service.power / service.disturbance[..., None, :],
        price / total.clamp(min=_LEAST),
        amplitude.square() / service.power.clamp(min=_LEAST),
    ]
    parts = [each.clamp(-14.0, 14.0)[..., None, :].expand_as(amplitude) / 4.0 for each in of_user]
    parts += [each.clamp(-4.0, 4.0).expand_as(amplitude) for each in of_ap]
    return torch.where((problem.signal > 0)[..., None], torch.stack([*parts, *of_link], -1), 0.0)

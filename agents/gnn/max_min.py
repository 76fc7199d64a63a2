"""The max-min fair power allocation of a cell-free network: bisection over second-order cone programmes."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from agents.gnn.cell_free import CellFree


def max_min(problem: CellFree, *, tolerance: float = 1e-4) -> Tensor:
    """Return amplitudes [M, K], float64, whose least SINR is within a part ``tolerance`` of the largest possible.

    Ngo et al., arXiv 1602.08232, section IV-B: whether all can have the SINR t is a second-order cone programme, and
    t is bisected. Here the programme asks for the strongest noise under which they can, so that it is never infeasible.

    Args:
        problem: one drop, without leading axes.
        tolerance: gap between bounds, over the lower.
    """
    problem = problem.to(torch.float64)
    best = problem.fractional(0.5)
    lower = least_sinr(problem, best)
    upper = float(problem.signal.sum(-2).square()[problem.present].min())  # with all power, and no interference
    programme = Programme(problem)
    while upper > (1.0 + tolerance) * lower:
        middle = float(np.sqrt(lower * upper))
        noise, amplitude = programme.strongest_noise(middle)
        found = least_sinr(problem, amplitude)
        if found > lower:
            lower, best = found, amplitude
        if noise < 1.0:
            upper = middle
        elif found <= middle:  # feasible up to the solver's accuracy
            lower = max(lower, middle)
    return best


def least_sinr(problem: CellFree, amplitude: Tensor) -> float:
    """Return the least SINR of the users that are there."""
    return float(problem.sinr(amplitude)[problem.present].min())


class Programme:
    """The programme of one drop.

    maximise v  s.t.  sum_m s_mk a_mk >= sqrt(t) ||(sqrt(b_mk) q_m)_m, v||,  ||a_m|| <= q_m <= 1,  a >= 0
    """

    def __init__(self, problem: CellFree) -> None:
        self.problem = problem
        self.links = np.argwhere((problem.signal > 0).numpy())  # [num_links, 2]
        num_aps, num_links = problem.signal.shape[0], len(self.links)
        blocks, self.cones = self._blocks(num_links + num_aps + 1)
        self.matrix = sparse.csc_matrix(sparse.vstack(blocks))
        rows = self.matrix.shape[0]
        self.bound = np.zeros(rows)
        self.bound[num_links : num_links + num_aps] = 1.0
        self.noisy = np.zeros(rows, bool)  # the rows that the SINR scales: users' cones but for their heads
        for end in rows - (num_aps + 2) * np.arange(int(problem.present.sum())):
            self.noisy[end - num_aps - 1 : end] = True

    def strongest_noise(self, sinr: float) -> tuple[float, Tensor]:
        """Return the root of the noise's power, and the amplitudes [M, K] that stand it."""
        import clarabel

        rows, columns = self.matrix.shape
        num_links = len(self.links)
        matrix = self.matrix.copy()
        matrix.data *= np.where(self.noisy, np.sqrt(sinr), 1.0)[matrix.indices]
        cones = [clarabel.NonnegativeConeT(rows - sum(self.cones)), *map(clarabel.SecondOrderConeT, self.cones)]
        goal = np.zeros(columns)
        goal[-1] = -1.0
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        none = sparse.csc_matrix((columns, columns))
        found = clarabel.DefaultSolver(none, goal, matrix, self.bound, cones, settings).solve()
        solution = np.asarray(found.x)
        amplitude = np.zeros(self.problem.signal.shape)
        amplitude[tuple(self.links.T)] = np.maximum(solution[:num_links], 0.0)
        return float(solution[-1]), self.problem.within_power(torch.from_numpy(amplitude))

    def _blocks(self, columns: int) -> tuple[list[sparse.csr_matrix], list[int]]:
        """Return the rows of G in G x + slack = bound at an SINR of 1, and the sizes of the second-order cones."""
        signal, root_gain = self.problem.signal.numpy(), np.sqrt(self.problem.gain.numpy())
        num_aps, num_links = signal.shape[0], len(self.links)
        powers = num_links + np.arange(num_aps)
        eye = sparse.identity(columns, format="csr")
        blocks, sizes = [-eye[:num_links], eye[powers]], list[int]()
        for ap in range(num_aps):
            mine = np.flatnonzero(self.links[:, 0] == ap)
            if len(mine):
                blocks.append(-eye[np.append(powers[ap], mine)])
                sizes.append(1 + len(mine))
        for user in np.flatnonzero(self.problem.present.numpy()):
            mine = np.flatnonzero(self.links[:, 1] == user)
            heard = signal[self.links[mine, 0], user]
            scale = heard.sum()  # makes rows of all users alike in size
            row = sparse.csr_matrix((-heard / scale, (np.zeros(len(mine), int), mine)), (1, columns))
            blocks += [
                row,
                -sparse.diags(np.append(root_gain[:, user], 1.0) / scale) @ eye[np.append(powers, columns - 1)],
            ]
            sizes.append(2 + num_aps)
        return blocks, sizes

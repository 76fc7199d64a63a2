"""Which precoder a cell uses, interval by interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.fields import Choice, Field, Term
from agents.rules import Random

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_DRAW = 1000
PRECODERS = ("mrt", "zf", "rzf x 0.1", "rzf", "rzf x 10", "rzf x 100", "robust rzf", "wmmse", "icgnn")
"""What can be chosen; a number is what the regularisation K sigma^2 / P is multiplied by."""
SHARES = (1.0, 0.75, 0.5)
"""Parts of the users that can be served at a time, the others wait for the next interval."""
WMMSE_ITERATIONS = 50
GROUPS, FLOP_PER_S = 13, 20e9
"""Resource block groups that need a precoder each, and what a processor core does (four to eight a cycle)."""
_OBSERVED = (
    Field("users", "1", 1, 16, "users that wait for data"),
    Field("snr", "dB", -20, 40, "mean SNR of users at full power, noise with interference as reported"),
    Field("spread", "dB", 0, 20, "standard deviation of it over users"),
    Field("interference", "dB", -20, 60, "mean interference of the neighbour over noise, as reported"),
    Field("csi_error", "dB", -40, 0, "error variance of a channel estimate over the channel's own"),
    Field("load", "1", 0, 8, "mean over users of the sum of squared correlations with all others"),
    Field("nearest", "1", 0, 1, "largest squared correlation of two users"),
    Field("condition", "dB", 0, 60, "largest over least eigenvalue of the correlation matrix"),
)


@dataclass
class PrecodingState(State):
    """Where a cell is.

    Attributes:
        draw: which of the table's intervals comes next, int64 [batch].
        done: what was chosen last, precoder and share, -1 before, int64 [batch, 2].
    """

    draw: NDArray[np.int64]
    done: NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Everything about many intervals, computed once: what is seen of them, and what any choice comes to.

    Attributes:
        seen: by name, as in the observation, float64 [num_draws] each.
        users: how many there are, int64 [num_draws].
        se: sum spectral efficiency, bit/s/Hz, float64 [num_draws, precoders, shares].
        compute_ms: time of all groups' precoders by their operations, float64 [num_draws, precoders, shares].
    """

    seen: dict[str, NDArray[np.float64]]
    users: NDArray[np.int64]
    se: NDArray[np.float64]
    compute_ms: NDArray[np.float64]


@ENVIRONMENTS.register("precoding")
class Precoding(Environment):
    """A cell of many antennas chooses how to keep its users apart: precoder, regularisation, and how many at a time.

    In every coherence interval other users wait, with other channels, SNRs and errors of the channel estimates. What
    they get is log2(1 + SINR) with the true channels, and with the interference of a neighbour whose beams have moved
    on since it was reported. Maximum ratio and zero-forcing are cheap, WMMSE is best where channels are known and
    as many users as antennas, and takes the longest; where they are known badly, robust regularisation, or fewer
    users, beat it. Computing time is counted from operations, see ``flop``, so that it does not depend on the machine.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | users | 1 | 1 | 1 .. 16 | users that wait for data |
    | observation | snr | 1 | dB | -20 .. 40 | mean SNR of users at full power, noise with interference as reported |
    | observation | spread | 1 | dB | 0 .. 20 | standard deviation of it over users |
    | observation | interference | 1 | dB | -20 .. 60 | mean interference of the neighbour over noise, as reported |
    | observation | csi_error | 1 | dB | -40 .. 0 | error variance of a channel estimate over the channel's own |
    | observation | load | 1 | 1 | 0 .. 8 | mean over users of the sum of squared correlations with all others |
    | observation | nearest | 1 | 1 | 0 .. 1 | largest squared correlation of two users |
    | observation | condition | 1 | dB | 0 .. 60 | largest over least eigenvalue of the correlation matrix |
    | action | precoder | 1 | 1 | 0 .. 8 | mrt, zf, rzf of 0.1, 1, 10, 100 K sigma^2/P, robust rzf, wmmse, icgnn |
    | action | share | 1 | 1 | 0 .. 2 | 0: all users at once; 1: three quarters of them; 2: half |
    | reward | se | 1 | bit/s/Hz | weight 1 | sum over users of log2(1 + SINR), as it comes |
    | reward | compute | 1 | ms | weight -1 | computing time for all groups of an interval |

    Not modelled: fairness between users and intervals, rates that do not fit the channel, several user antennas.
    """

    title = "Precoding"
    # Every step is a problem of its own: nothing is to be gained from looking ahead.
    training = {"discount": 0.0, "learning_rate": 2e-3, "rollout": 16, "minibatches": 8}  # noqa: RUF012

    steps: int = Parameter(default=20, ge=1, le=1_000_000, description="steps of an episode, one interval each")
    antennas: int = Parameter(default=16, ge=2, le=64, description="of the cell")
    channel: Literal["rayleigh", "umi"] = Parameter(default="umi", description="rayleigh, or TR 38.901 street canyons")
    least_users: int = Parameter(default=2, ge=1, le=16, description="fewest users")
    users: int = Parameter(default=16, ge=1, le=16, description="most users")
    draws: int = Parameter(default=1024, ge=16, le=100_000, description="intervals that episodes are made of")
    drawing: int = Parameter(default=0, ge=0, description="another number, other intervals in other streets")

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.least_users > self.users:
            return [f"`least_users`: {self.least_users} is more than users ({self.users}); lower it"]
        return super().problems()

    def observed(self) -> tuple[Field, ...]:
        """Return what a gNB knows: counts, reports and its estimates' correlations."""
        return _OBSERVED

    def acted(self) -> tuple[Choice, ...]:
        """Return precoder and share."""
        return (
            Choice("precoder", len(PRECODERS), "mrt, zf, rzf of 0.1, 1, 10, 100 K sigma^2/P, robust rzf, wmmse, icgnn"),
            Choice("share", len(SHARES), "0: all users at once; 1: three quarters of them; 2: half"),
        )

    def terms(self) -> tuple[Term, ...]:
        """Return spectral efficiency and computing time."""
        return (
            Term("se", "bit/s/Hz", 1.0, "sum over users of log2(1 + SINR), as it comes"),
            Term("compute", "ms", -1.0, "computing time for all groups of an interval"),
        )

    def table(self) -> Table:
        """Return the intervals that episodes are made of."""
        return table_of(self.channel, self.antennas, (self.least_users, self.users), self.draws, self.drawing)

    def start(self, key: NDArray[np.uint64]) -> PrecodingState:
        """Begin anywhere."""
        state = PrecodingState(
            key, np.zeros(len(key), np.int64), np.zeros(len(key), np.int64), np.full((len(key), 2), -1, np.int64)
        )
        self._move_on(state)
        return state

    def _move_on(self, state: PrecodingState) -> None:
        state.draw = (uniforms(state.key, _DRAW + state.step, 1)[:, 0] * self.draws).astype(np.int64)

    def values(self, state: PrecodingState) -> dict[str, NDArray[np.float64]]:
        """Return the statistics of the coming interval."""
        return {name: values[state.draw, None] for name, values in self.table().seen.items()}

    def advance(self, state: PrecodingState, action: NDArray[Any]) -> Outcome:
        """Send, and move on to the next interval."""
        table, state.done = self.table(), np.asarray(action, np.int64).reshape(-1, 2)
        place = (state.draw, state.done[:, 0], state.done[:, 1])
        terms = {"se": table.se[place], "compute": table.compute_ms[place]}
        users = table.users[state.draw]
        self._move_on(state)
        return Outcome(terms, np.zeros(len(users), bool), {"users": users})

    def rules(self) -> dict[str, Rule]:
        """Return random choices, precoders for all users, the best choice for always, and the best for every interval.

        ``rzf`` follows the classical rule, ``robust_rzf`` adds the errors of estimates to it.
        """
        fixed = {name.replace(" ", "_"): _Fixed(number, 0) for number, name in enumerate(PRECODERS)}
        mean = self.reward({"se": self.table().se, "compute": self.table().compute_ms}).mean(axis=0)
        always = _Fixed(*(int(part) for part in np.divmod(mean.argmax(), len(SHARES))))
        return {"random": Random(), **fixed, "best_fixed": always, "oracle": _Best()}

    def draw(self, state: PrecodingState, replica: int, figure: Figure) -> None:
        """Draw what every choice would come to in the coming interval, and what is seen of it."""
        table, place = self.table(), int(state.draw[replica])
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        number, width = np.arange(len(PRECODERS)), 0.8 / len(SHARES)
        for share, part in enumerate(SHARES):
            above.bar(number + (share - 1) * width, table.se[place, :, share], width, label=f"{part:.0%} of the users")
            below.bar(number + (share - 1) * width, table.compute_ms[place, :, share], width)
        seen = {name: values[place] for name, values in table.seen.items()}
        last, share = state.done[replica]
        chosen = f"\nlast: {PRECODERS[last]} for {SHARES[share]:.0%} of the users" if last >= 0 else ""
        above.set(
            ylabel="sum SE (bit/s/Hz)",
            ylim=(0, 1.2 * table.se[place].max()),
            title=f"Precoding, step {state.step[replica]}: {seen['users']:.0f} users, {self.antennas} antennas, "
            f"SNR {seen['snr']:.0f} dB, interference {seen['interference']:.0f} dB over noise, "
            f"CSI error {seen['csi_error']:.0f} dB{chosen}",
        )  # fmt: skip
        above.title.set_fontsize(9)
        above.legend(fontsize=8, ncols=len(SHARES), loc="upper left")
        below.set(ylabel="computing (ms)", yscale="log")
        below.set_xticks(number, PRECODERS, fontsize=8)


@dataclass(frozen=True)
class _Fixed:
    """Always the same precoder and share."""

    number: int
    share: int

    def __call__(self, environment: Precoding, state: PrecodingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return the same choice for all."""
        return np.tile(np.array([self.number, self.share], np.int64), (len(state.draw), 1))


@dataclass(frozen=True)
class _Best:
    """The choice of most reward, by trying all with the true channels."""

    def __call__(self, environment: Precoding, state: PrecodingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return the best precoder and share."""
        table = environment.table()
        reward = environment.reward({"se": table.se[state.draw], "compute": table.compute_ms[state.draw]})
        best = reward.reshape(len(reward), -1).argmax(axis=1)
        return np.stack(np.divmod(best, len(SHARES)), axis=1)


def flop(precoder: str, streams: NDArray[np.int64], antennas: int) -> NDArray[np.float64]:
    """Return real operations of a precoder for K streams and M antennas; a complex multiply-add is 8.

    Directions and powers 8 K M; correlations 4 K^2 M (half of a Hermitian matrix) and, in the end, V = H^H A 8 K^2 M;
    a Hermitian inverse or solve for K right-hand sides 8 K^3 (Cholesky factor 8/6, inverse 8 * 5/6 K^3 at most); a
    product of K x K matrices 8 K^3. An iteration of WMMSE is one inverse. ICGNN makes three precoders with w = 16
    features and looks at the first two: conjugate gradients of at most 8 steps, of K the last time, are a product a
    step (the first needs none, the end one), a look is another; a pass has messages 2 * 2 * 2 K^2 w and layers
    2 K (9 w + 2 * 3 w^2 + 3 w).
    """
    k = np.asarray(streams, np.float64)
    directions, inverse, product = 8 * k * antennas, 8 * k**3, 8 * k**3
    if precoder == "mrt":
        return directions
    linear = directions + 12 * k**2 * antennas
    if precoder == "wmmse":
        return linear + inverse + WMMSE_ITERATIONS * inverse
    if precoder == "icgnn":
        passes, width = 3, 16
        network = passes * (8 * k**2 * width + 2 * k * (12 * width + 6 * width**2))
        return linear + ((passes - 1) * (np.minimum(k, 8) + 1) + k) * product + network
    return linear + inverse


@lru_cache(maxsize=8)
def table_of(channel: str, antennas: int, users: tuple[int, int], draws: int, drawing: int) -> Table:
    """Return ``draws`` intervals of a cell, with what every choice comes to in each.

    Users have Rayleigh channels of log-normal strength or stand in streets of TR 38.901. The gNB knows MMSE estimates
    h_hat = (1 - e) h + sqrt(e (1 - e) |h|^2 / M) n, so that h - h_hat has the variance e |h|^2 / M a coefficient and
    is what the estimate says nothing about. A neighbour serves as many users of its own by RZF, over Rayleigh channels
    to our users some decibels below their own; the gNB knows the interference of the neighbour's last beams.

    Args:
        channel: "rayleigh" or "umi".
        antennas: of the cell and of the neighbour.
        users: fewest and most.
        draws: intervals.
        drawing: which ones.
    """
    from agents.envs.precoding_draws import drawn, solved
    from channel.seeding import stream

    rng = stream(drawing, "precoding environment", channel)
    count = np.sort(rng.integers(users[0], users[1] + 1, draws))
    seen: dict[str, Any] = {field.name: np.empty(draws) for field in _OBSERVED}
    se, compute_ms = np.empty((2, draws, len(PRECODERS), len(SHARES)))
    for size in np.unique(count):
        which = np.flatnonzero(count == size)
        cells = drawn(channel, len(which), int(size), antennas, rng, drawing)
        for name, values in cells.seen().items():
            seen[name][which] = values
        for share, part in enumerate(SHARES):
            streams = max(1, round(part * size))
            for number, name in enumerate(PRECODERS):
                se[which, number, share] = solved(name, cells, streams)
                operations = flop(name, np.array(streams), antennas)
                compute_ms[which, number, share] = 1e3 * GROUPS * operations / FLOP_PER_S
    return Table(seen, count, se, compute_ms)

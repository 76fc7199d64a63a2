"""How good policies are: scores over many episodes, with confidence intervals, a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.batched import Replicas
from agents.environment import Bound, Environment, Reward, Rule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FIRST_TEST_SEED = 1_000_000
"""Seeds from here on are for evaluation; training draws its own from 0 on."""

_AT_ONCE = 256


@dataclass(frozen=True)
class Score:
    """What a policy got in episodes of the same seeds as all others.

    Attributes:
        returns: reward summed over each episode (mean over agents), [episodes].
        terms: the terms likewise, by name.
    """

    returns: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def half_width(self) -> float:
        """Half the width of the mean's 95 % confidence interval, by Student's t."""
        from scipy.stats import t

        count = len(self.returns)
        return float(t.ppf(0.975, count - 1) * self.returns.std(ddof=1) / np.sqrt(count))


def evaluate(
    environment: Environment, rule: Rule, episodes: int = 100, *, reward: Reward | None = None, observe: Any = None
) -> Score:
    """Return the score of a policy over whole episodes of seeds FIRST_TEST_SEED, FIRST_TEST_SEED + 1, ...

    Args:
        environment: the problem.
        rule: the policy.
        episodes: how many, at least 2.
        reward: instead of the environment's weighted terms.
        observe: instead of the environment's own observation: a ``View``.
    """
    parts = [
        _played(environment, rule, np.arange(start, min(start + _AT_ONCE, episodes)) + FIRST_TEST_SEED, reward, observe)
        for start in range(0, episodes, _AT_ONCE)
    ]
    names = parts[0].terms
    return Score(
        np.concatenate([part.returns for part in parts]),
        {name: np.concatenate([part.terms[name] for part in parts]) for name in names},
    )


def _played(
    environment: Environment, rule: Rule, seeds: NDArray[np.int64], reward: Reward | None, observe: Any
) -> Score:
    replicas = Replicas(environment, len(seeds), reward)
    replicas.restart(seeds)
    alive, returns, terms = np.ones(len(seeds), bool), np.zeros(len(seeds)), dict[str, Any]()
    while alive.any():
        seen = observe.of(environment, replicas.state) if observe else environment.observe(replicas.state)
        action = rule(environment, replicas.state, seen)
        most = rule.most(environment, replicas.state) if isinstance(rule, Bound) else None
        got, terminated, truncated, info = replicas.step(action)
        got, gotten = (got, info["terms"]) if most is None else (replicas.reward(most), most)
        returns += np.where(alive, _per_replica(got), 0.0)
        for name, value in gotten.items():
            terms[name] = terms.get(name, 0.0) + np.where(alive, _per_replica(value), 0.0)
        alive &= ~(terminated | truncated)
    return Score(returns, terms)


def _per_replica(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over agents, [batch]."""
    return values if values.ndim == 1 else values.mean(axis=1)


def trace(environment: Environment, rule: Rule, episodes: int = 20) -> dict[str, NDArray[Any]]:
    """Return terms and info of every step of episodes that run to the time limit, [steps, episodes, ...] by name.

    Seeds are those of ``evaluate``.
    """
    replicas, found = Replicas(environment, episodes), dict[str, list[Any]]()
    replicas.restart(np.arange(episodes) + FIRST_TEST_SEED)
    for _ in range(environment.steps):
        action = rule(environment, replicas.state, environment.observe(replicas.state))
        *_, info = replicas.step(action)
        for name, value in {**info, **info["terms"]}.items():
            if name != "terms":
                found.setdefault(name, []).append(value)
    return {name: np.stack(values) for name, values in found.items()}


def compare(
    environment: Environment, policies: Mapping[str, Rule], episodes: int = 100, reward: Reward | None = None
) -> dict[str, Score]:
    """Return the scores of the environment's baselines and of further policies, the best first."""
    rules = {**environment.rules(), **policies}
    scores = {name: evaluate(environment, rule, episodes, reward=reward) for name, rule in rules.items()}
    return dict(sorted(scores.items(), key=lambda item: -item[1].mean))


def figure(environment: Environment, scores: Mapping[str, Score], path: Path) -> None:
    """Draw the scores and their terms, with 95 % confidence intervals, to ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    terms = environment.terms()
    drawing = Figure(figsize=(4 + 2.6 * (1 + len(terms)), 0.4 * len(scores) + 1.8), layout="constrained")
    axes = np.atleast_1d(drawing.subplots(1, 1 + len(terms), sharey=True))
    names = list(scores)[::-1]
    colours = [
        "tab:orange" if is_bound(name) else "tab:gray" if name in environment.rules() else "tab:blue" for name in names
    ]
    axes[0].barh(
        names, [scores[name].mean for name in names], xerr=[scores[name].half_width for name in names], color=colours,
        capsize=3,
    )  # fmt: skip
    axes[0].set_xlabel("return of an episode")
    for axis, term in zip(axes[1:], terms, strict=True):
        parts = {name: Score(scores[name].terms[term.name], {}) for name in names}
        axis.barh(
            names, [parts[name].mean for name in names], xerr=[parts[name].half_width for name in names], color=colours,
            capsize=3,
        )  # fmt: skip
        axis.set_xlabel(f"{term.name}, sum over an episode ({term.unit})")
    drawing.suptitle(
        f"{environment.title}: {len(next(iter(scores.values())).returns)} episodes, 95 % confidence "
        "(orange sees what agents cannot)"
    )
    FigureCanvasAgg(drawing)
    drawing.savefig(path, dpi=130)


def is_bound(name: str) -> bool:
    """Whether a baseline may see what an agent may not, or is no policy at all."""
    return name.startswith(("oracle", "bound"))

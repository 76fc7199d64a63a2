"""Environments on the terminal: what there is, what a policy gets, and a film of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from agents.batched import Replicas
from agents.environment import Environment, Rule
from agents.envs import ENVIRONMENTS
from agents.evaluate import FIRST_TEST_SEED, Score, evaluate, is_bound
from agents.fields import Choice, Field
from agents.picture import picture, write_film
from agents.policy import SavedPolicy
from agents.registration import gymnasium_id
from channel.errors import UserError
from channel.registry import did_you_mean

Write = Callable[[str], object]
_FPS = 5.0


def list_environments(write: Write) -> None:
    """Write every environment and what it is about."""
    for name in ENVIRONMENTS.names():
        write(f"{name:18} {gymnasium_id(name):28} {ENVIRONMENTS.get(name).summary()}")


def describe(environment: Environment, write: Write) -> None:
    """Write what an agent sees, does and gets."""
    agents = environment.num_agents
    write(f"{gymnasium_id(environment.name)}: {environment.summary()}")
    write(f"{environment.steps} steps an episode" + (f", {agents} agents" if agents else ""))
    for block in environment.observed():
        write(f"  sees   {_block(block)}")
    for act in environment.acted():
        write(f"  does   {_block(act)}")
    for term in environment.terms():
        weight = environment.weights.get(term.name, term.weight)
        write(f"  gets   {term.name} ({term.unit}), weight {weight:g}: {term.says}")
    write(f"Policies: {', '.join(environment.rules())}; or a policy.safetensors of `airtune train-agent`")


def _block(block: Field | Choice) -> str:
    times = f" x {block.count}" if block.count > 1 else ""
    if isinstance(block, Choice):
        return f"{block.name}{times}, 0 .. {block.options - 1}: {block.says}"
    return f"{block.name}{times}, {block.low:g} .. {block.high:g} {block.unit}: {block.says}"


def rule_of(environment: Environment, policy: str) -> Rule:
    """Return a baseline by name, or an agent's policy by file; raises UserError where it is neither."""
    rules = environment.rules()
    if policy in rules:
        return rules[policy]
    if Path(policy).exists():
        return SavedPolicy.load(Path(policy), environment)
    near = did_you_mean(policy, list(rules)) or ";"
    raise UserError(f"no policy {policy!r}{near} give a file, or one of {', '.join(rules)}")


def play(environment: Environment, policy: str, episodes: int, film: Path | None, write: Write) -> None:
    """Play episodes, write what they brought, and film the first one."""
    rule = rule_of(environment, policy)
    score_table(environment.name, {policy: evaluate(environment, rule, episodes)}, write)
    if film is None:
        return
    replicas = Replicas(environment, 1)
    replicas.restart(np.array([FIRST_TEST_SEED]))
    images = [picture(environment, replicas.state, 0)]
    for _ in range(environment.steps):
        action = rule(environment, replicas.state, environment.observe(replicas.state))
        _, terminated, _, _ = replicas.step(action)
        images.append(picture(environment, replicas.state, 0))
        if terminated[0]:
            break
    write_film(film, images, _FPS)
    write(str(film))


def score_table(name: str, scores: Mapping[str, Score], write: Write) -> None:
    """Write returns with their 95 % confidence intervals, and the terms' sums."""
    terms = list(next(iter(scores.values())).terms)
    count = len(next(iter(scores.values())).returns)
    write(f"\n{name}, {count} episodes, mean of sums over an episode (95 % confidence)")
    width = max(12, *map(len, scores))
    write(f"{'policy':{width}}  {'return':>22}  " + "  ".join(f"{term:>14}" for term in terms))
    for policy, score in scores.items():
        mark = " *" if is_bound(policy) else ""
        own = "  ".join(f"{score.terms[term].mean():14.5g}" for term in terms)
        write(f"{policy:{width}}  {score.mean:11.5g} +/- {score.half_width:6.3g}  {own}{mark}")
    if any(map(is_bound, scores)):
        write("* sees what agents cannot, or is no policy but a bound")

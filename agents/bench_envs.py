"""Steps per second of the environments and of PPO in them, beside mobile-env's where that is installed.

One thread. A batched step is everything: the problem, observation, reward, masks and automatic reset. Actions are
random; times are the thread's own, so that whatever else the machine does counts for nobody.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.batched import BatchedEnv
from agents.envs import ENVIRONMENTS
from agents.ppo import Settings, Trainer
from agents.single import SingleEnv
from scenarios.bench.bench import Measurement

if TYPE_CHECKING:
    import gymnasium

BATCHES = (1024, 4096)
_TRAINED = ("air_comp_power", "round_allocation", "handover")
_BATCHED_STEPS, _PLAIN_STEPS, _PEER_STEPS, _REPEATS = 50, 2000, 100, 3


def measure() -> Iterator[Measurement]:
    """Yield steps per second of every environment, plain and batched; Handover's beside mobile-env's "medium"."""
    peer = _per_s(_peer(), 1, _PEER_STEPS) if find_spec("mobile_env") is not None else None
    for name in ENVIRONMENTS.names():
        beside = peer if name == "handover" else None
        yield _measurement(f"{name}, plain", _per_s(_stepped(SingleEnv(name)), 1, _PLAIN_STEPS), beside)
        for batch in BATCHES:
            rate = _per_s(_stepped(BatchedEnv(name, batch)), batch, _BATCHED_STEPS)
            yield _measurement(f"{name}, batch of {batch}", rate, beside)
    for name in _TRAINED:
        yield _measurement(f"PPO on {name}, batch of {BATCHES[0]}, updates included", _trained_per_s(name), None)


def _trained_per_s(name: str) -> float:
    """Return environment steps per second of training by ``agents.ppo`` with the environment's own settings."""
    env = BatchedEnv(name, BATCHES[0])
    suited: dict[str, Any] = dict(env.environment.training)
    settings = replace(Settings(total_steps=10**9), **suited)
    updates, rates = Trainer(env, settings).updates(), []
    for _ in range(_REPEATS + 1):
        start_s = time.thread_time()
        next(updates)
        rates.append(settings.rollout * env.num_envs / (time.thread_time() - start_s))
    return statistics.median(rates[1:])


def _measurement(name: str, rate: float, peer: float | None) -> Measurement:
    if peer is None:
        return Measurement(name, rate, "steps/s")
    return Measurement(name, rate, "steps/s", "mobile-env, medium", peer, rate / peer)


def _per_s(step: Callable[[], object], batch: int, steps: int) -> float:
    """Return environment steps per second of this thread's time: the median of some runs, after one to warm up."""
    rates = []
    for repeat in range(_REPEATS + 1):
        start_s = time.thread_time()
        for _ in range(max(steps // 10, 1) if repeat == 0 else steps):
            step()
        rates.append(batch * steps / (time.thread_time() - start_s))
    return statistics.median(rates[1:])


def _stepped(environment: gymnasium.Env[Any, Any] | BatchedEnv) -> Callable[[], object]:
    """Return what takes one step after another by some random actions, and starts episodes anew."""
    environment.action_space.seed(0)
    actions = [np.asarray(environment.action_space.sample()) for _ in range(8)]
    environment.reset(seed=0)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        answer = environment.step(actions[done % len(actions)])
        if isinstance(environment, SingleEnv) and (answer[2] or answer[3]):
            environment.reset()

    return step


def _peer() -> Callable[[], object]:
    """Return what takes one step after another of mobile-env's medium, seen and controlled from one place."""
    import gymnasium
    import mobile_env  # type: ignore[import-not-found]  # noqa: F401 - registers its environments

    environment = gymnasium.make("mobile-medium-central-v0").unwrapped
    environment.reset(seed=0)
    actions, done = np.random.default_rng(0).integers(0, 8, (8, 15)), 0

    def step() -> None:
        nonlocal done
        done += 1
        if environment.step(actions[done % 8])[3]:
            environment.reset()

    return step

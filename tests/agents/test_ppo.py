"""PPO: closed forms of its parts, and problems whose best policy is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.batched import BatchedEnv
from agents.draws import uniforms
from agents.environment import Environment, Outcome, State
from agents.fields import Choice, Field, Term
from agents.ppo import Actor, Rollout, RunningDeviation, Settings, Trainer, advantages

SMALL = Settings(total_steps=32_768, rollout=16, epochs=4, minibatches=4, learning_rate=3e-3, discount=0.0)


class Guess(Environment):
    """Say what you see: the reward is what is missing."""

    title = "Guess"
    choices: int = 0

    def observed(self) -> tuple[Field, ...]:
        return (Field("target", "1", -1, 1, "what to say"),)

    def acted(self) -> Any:
        if self.choices:
            return (Choice("which", self.choices, "third of the range", 1),)
        return (Field("said", "1", -1, 1, "what is said"),)

    def terms(self) -> tuple[Term, ...]:
        return (Term("error", "1", -1.0, "how far off"),)

    def start(self, key: Any) -> State:
        return State(key, np.zeros(len(key), np.int64))

    def target(self, state: State) -> Any:
        return 2 * uniforms(state.key, state.step, 1) - 1

    def values(self, state: State) -> Any:
        return {"target": self.target(state)}

    def mask(self, state: State) -> Any:
        if not self.choices:
            return None
        allowed = np.ones((len(state.key), self.choices), bool)
        allowed[:, -1] = False
        return allowed

    def advance(self, state: State, action: Any) -> Outcome:
        before = 2 * uniforms(state.key, state.step - 1, 1) - 1
        if self.choices:
            third = np.minimum(((before[:, 0] + 1) / 2 * 3).astype(int), self.choices - 2)
            error = (action != third).astype(float)
        else:
            error = np.square(before - action)[:, 0]
        return Outcome({"error": error}, np.zeros(len(error), bool), {})

    def rules(self) -> Any:
        return {}

    def draw(self, state: Any, replica: int, figure: Any) -> None:
        pass


Guess.name = "guess"


def test_advantages_by_hand() -> None:
    """By hand, three steps, gamma .5, lambda .5: an end in the second step cuts both ways."""
    ended = torch.tensor([[False], [True], [False]])
    column = [[1.0], [2.0], [3.0]]
    rollout = Rollout(*(torch.zeros(3, 1),) * 3, torch.tensor([[4.0], [5.0], [6.0]]), torch.tensor(column), ended, None)
    found = advantages(rollout, torch.tensor([8.0]), 0.5, 0.5)
    last, middle = 3 + 0.5 * 8 - 6, 2 - 5
    first = 1 + 0.5 * 5 - 4 + 0.25 * middle
    torch.testing.assert_close(found, torch.tensor([[first], [middle], [last]]))


def test_advantages_are_returns_minus_values_with_lambda_one() -> None:
    """Closed form: lambda 1 telescopes to the discounted return less the value."""
    rng = torch.Generator().manual_seed(0)
    value, reward = torch.rand(6, 2, generator=rng), torch.rand(6, 2, generator=rng)
    rollout = Rollout(*(torch.zeros(6, 2),) * 3, value, reward, torch.zeros(6, 2, dtype=torch.bool), None)
    last = torch.rand(2, generator=rng)
    found, total = advantages(rollout, last, 0.9, 1.0), last
    for step in reversed(range(6)):
        total = reward[step] + 0.9 * total
        torch.testing.assert_close(found[step], total - value[step])


def test_sampling_is_what_log_prob_says() -> None:
    """Oracle: frequencies of 50,000 samples; a masked option never comes."""
    torch.manual_seed(0)
    actor = Actor(2, 2, [3, 2], Settings())
    with torch.no_grad():
        actor.layers[-1].bias.copy_(torch.tensor([0.5, -0.5, 2.0, 1.0, 0.0]))
    seen = torch.zeros(50_000, 2)
    mask = torch.tensor([True, True, False, True, True]).expand(50_000, 5)
    action = actor.sample(seen, mask, torch.Generator().manual_seed(1))
    assert not (action[:, 0] == 2).any()
    for pair in ([0, 0], [0, 1], [1, 0], [1, 1]):
        expected = actor.log_prob(seen[:1], mask[:1], torch.tensor([pair]))[0].exp().item()
        assert abs((action == torch.tensor(pair)).all(1).float().mean().item() - expected) < 0.01


def test_running_deviation() -> None:
    """Oracle: NumPy, over batches of different sizes."""
    rng, running = np.random.default_rng(0), RunningDeviation()
    parts = [rng.normal(3, 2, size) for size in (1, 10, 1000)]
    for part in parts:
        running.see(part)
    assert running.deviation == pytest.approx(np.concatenate(parts).std(), rel=1e-3)


@pytest.mark.parametrize(("choices", "worst"), [(0, 0.03), (4, 0.15)])
def test_learns_what_is_known(choices: int, worst: float) -> None:
    """Oracle: the best policy says what it sees, error 0; a constant gets 1/3, a random third 2/3."""
    trainer = Trainer(BatchedEnv(Guess(choices=choices, steps=10), 128), replace(SMALL, learning_rate=1e-2))
    told = []
    trainer.train(told.append)
    assert told[-1].terms["error"] < worst
    assert told[-1].steps == SMALL.total_steps


def test_goes_on_where_it_was(tmp_path: Path) -> None:
    """Property: a loaded trainer has the same networks, moments, counts and noise, and takes the same next update."""

    def fresh() -> Trainer:
        return Trainer(BatchedEnv(Guess(steps=10), 16), replace(SMALL, total_steps=2048), seed=3)

    first = fresh()
    for _, _progress in zip(range(3), first.updates(), strict=False):
        pass
    first.save(tmp_path / "at.safetensors")
    second, third = fresh(), fresh()
    for trainer in (second, third):
        trainer.load(tmp_path / "at.safetensors")
        assert trainer.steps == first.steps
        next(trainer.updates())
    for left, right in zip(second.parameters, third.parameters, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert any(not torch.equal(left, right) for left, right in zip(first.parameters, second.parameters, strict=True))


def test_seeds_decide() -> None:
    """Property: equal seeds give equal networks, different ones do not; the global generator is not touched."""
    before = torch.random.get_rng_state()
    one, same, other = (Trainer(BatchedEnv(Guess(), 8), SMALL, seed=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(one.actor.layers[0].weight, same.actor.layers[0].weight)
    assert not torch.equal(one.actor.layers[0].weight, other.actor.layers[0].weight)
    assert torch.equal(before, torch.random.get_rng_state())

"""Contract of every registered scheduler, also one added tomorrow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.mac import SCHEDULERS
from ran.mac.scheduler import Observation
from ran.mac.slicing_kernels import BLOCKED
from ran.slot import run_slot
from ran.state import BEARER_DTYPE
from tests.ran.worlds import small_world

# A policy is a file; tests/agents/envs/test_slot_scheduling.py writes one.
NAMES = [name for name in SCHEDULERS.names() if name != "policy"]
# Where all UEs are alike, whoever is as good as the best may have everything.
FAIR = [name for name in NAMES if name != "max_rate"]


def observation(seed: int, *, batch: int, cells: int, per_cell: int, groups: int) -> Observation:
    rng = np.random.default_rng(seed)
    ues = cells * per_cell
    serving = np.tile(np.repeat(np.arange(cells, dtype=np.int32), per_cell), (batch, 1))
    reserved = np.full((batch, cells, groups), -1, np.int32)
    for cell in range(cells):
        taken = rng.random((batch, groups)) < 0.2
        reserved[:, cell][taken] = cell * per_cell
    reserved[rng.random(reserved.shape) < 0.15] = BLOCKED
    backlog = (rng.integers(0, 4000, (batch, ues)) * (rng.random((batch, ues)) < 0.7)).astype(np.int64)
    now_s = float(rng.uniform(0.0, 100.0))
    return Observation(
        backlog_bytes=backlog,
        rate_bits=rng.uniform(1.0, 3000.0, (batch, ues, groups)).astype(np.float32),
        served_bits=rng.integers(0, 5000, (batch, ues)).astype(np.int64),
        serving_cell=serving,
        reserved=reserved,
        slot=int(rng.integers(1000)),
        now_s=now_s,
        bearer=bearers(rng, backlog, now_s),
    )


def bearers(rng: np.random.Generator, backlog: np.ndarray, now_s: float) -> np.ndarray:
    """Return bearers in any condition: fresh or old, in time, late or without deadline, with blocks on the air."""
    bearer = np.zeros(backlog.shape, BEARER_DTYPE)
    shape = backlog.shape
    bearer["delivered"], bearer["lost"] = rng.integers(0, 1 << 40, shape), rng.integers(0, 2, shape)
    on_air = rng.integers(0, 3000, shape) * (rng.random(shape) < 0.5)
    bearer["sent"] = bearer["delivered"] + bearer["lost"] + on_air
    bearer["enqueued"] = bearer["sent"] + backlog
    bearer["head_s"] = now_s - rng.exponential(1.0, shape) * (rng.random(shape) < 0.9)
    bearer["head_s"][rng.random(shape) < 0.3] = np.nan
    bearer["deadline_s"] = np.where(rng.random(shape) < 0.5, now_s + rng.normal(0.0, 5.0, shape), np.inf)
    bearer["budget_s"] = rng.choice([0.005, 0.1, 0.3, 1.1], shape)
    bearer["priority"] = rng.integers(1, 128, shape)
    return bearer


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 3), cells=st.integers(1, 3), per_cell=st.integers(1, 6),
    groups=st.integers(1, 15),
)  # fmt: skip
def test_a_grant_is_lawful(name, seed, batch, cells, per_cell, groups):
    """Properties: shape and dtype; owners wait in the cell; what is not free stays; no group idles while a UE waits."""
    seen = observation(seed, batch=batch, cells=cells, per_cell=per_cell, groups=groups)
    before = seen.reserved.copy()
    scheduler = SCHEDULERS.get(name)()
    owner, state = scheduler.decide(seen, scheduler.start(batch, cells, cells * per_cell))
    assert owner.shape == before.shape
    assert owner.dtype == np.int32
    assert state.shape[0] == batch
    taken = before != -1
    assert (owner[taken] == before[taken]).all(), "a group that was not free has changed hands"
    for b in range(batch):
        for cell in range(cells):
            for ue in owner[b, cell][~taken[b, cell] & (owner[b, cell] >= 0)]:
                assert seen.serving_cell[b, ue] == cell
                assert seen.backlog_bytes[b, ue] > 0
            members = np.flatnonzero(seen.serving_cell[b] == cell)
            granted = {ue: seen.rate_bits[b, ue, owner[b, cell] == ue].sum() for ue in members}
            starved = [
                ue for ue in members if seen.backlog_bytes[b, ue] > 0 and granted[ue] < 8 * seen.backlog_bytes[b, ue]
            ]
            if starved:
                assert (owner[b, cell][~taken[b, cell]] >= 0).all(), "a group idles although a UE waits"


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), idle_slots=st.integers(0, 200))
def test_the_weight_is_positive_and_finite_and_changes_nothing(name, seed, idle_slots):
    """Properties that pairing relies on, which asks for weights after ``decide``; also after a long silence."""
    scheduler = SCHEDULERS.get(name)()
    seen = observation(seed, batch=2, cells=2, per_cell=3, groups=4)
    state = scheduler.start(2, 2, 6)
    for _ in range(idle_slots):
        seen.served_bits[:] = 0
        state = scheduler.update(seen, state)
    _, state = scheduler.decide(seen, state)
    before = state.tobytes(), seen.bearer.tobytes()
    weight = scheduler.weight(seen, state)
    assert weight.shape == seen.backlog_bytes.shape
    assert weight.dtype == np.float64
    assert np.isfinite(weight).all()
    assert (weight > 0.0).all()
    assert (state.tobytes(), seen.bearer.tobytes()) == before


@pytest.mark.parametrize("name", NAMES)
def test_what_a_slot_served_counts_once(name):
    """Oracle: ``update`` itself; ``decide`` leaves the state that one call of it leaves, if it is overridden at all."""
    scheduler = SCHEDULERS.get(name)()
    seen = observation(3, batch=2, cells=2, per_cell=4, groups=13)
    _, state = scheduler.decide(seen, scheduler.start(2, 2, 8))
    once = scheduler.update(seen, scheduler.start(2, 2, 8))
    if (once != scheduler.start(2, 2, 8)).any():
        np.testing.assert_array_equal(state, once)


@pytest.mark.parametrize("name", NAMES)
def test_decisions_are_deterministic_and_components_travel(name):
    """Properties: equal inputs give equal grants; pickle and YAML round trips give an equal component."""
    scheduler = SCHEDULERS.get(name)()
    grants = []
    for _ in range(2):
        seen = observation(5, batch=2, cells=2, per_cell=4, groups=13)
        grants.append(scheduler.decide(seen, scheduler.start(2, 2, 8))[0])
    assert (grants[0] == grants[1]).all()
    assert pickle.loads(pickle.dumps(scheduler)) == scheduler
    values = scheduler.model_dump()
    assert values.pop("name") == name
    assert type(scheduler).model_validate(values) == scheduler


@pytest.mark.parametrize("name", NAMES)
def test_replicas_and_cells_do_not_see_each_other(name):
    """Oracle: the same cell alone. Catches indices of another replica or cell in a kernel."""
    seen = observation(7, batch=2, cells=2, per_cell=4, groups=13)
    scheduler = SCHEDULERS.get(name)()
    alone = Observation(
        backlog_bytes=seen.backlog_bytes[1:, 4:].copy(), rate_bits=seen.rate_bits[1:, 4:].copy(),
        served_bits=seen.served_bits[1:, 4:].copy(), serving_cell=np.zeros((1, 4), np.int32),
        reserved=seen.reserved[1:, 1:].copy(), slot=seen.slot, now_s=seen.now_s, bearer=seen.bearer[1:, 4:].copy(),
    )  # fmt: skip
    free = alone.reserved == -1
    owner, _ = scheduler.decide(seen, scheduler.start(2, 2, 8))
    expected, _ = scheduler.decide(alone, scheduler.start(1, 1, 4))
    granted = owner[1:, 1:][free]
    np.testing.assert_array_equal(np.where(granted >= 0, granted - 4, granted), expected[free])


@pytest.mark.parametrize("name", FAIR)
def test_equal_ues_get_equal_shares(name):
    """Oracle: symmetry; in a world where all UEs are alike each holds the same share of groups within 2 %."""
    small = small_world(ues_per_cell=5, loss_db=(100, 100 + 1e-9), flat=True, scheduler=name, pattern="D")
    small.snapshot.gain[:] = small.snapshot.gain[:, :1]
    small.downlink.bearer["enqueued"] = 1 << 40
    air = small.prepare()
    for slot in range(4000):
        run_slot(small.plan, slot, air, small.downlink, None)
    share = small.downlink.tally["prb_slots"][0, :, 0] / small.downlink.tally["prb_slots"][0].sum()
    np.testing.assert_allclose(share, 0.2, rtol=0.02)

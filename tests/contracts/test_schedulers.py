"""Contract of every registered scheduler, also one added tomorrow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.mac import SCHEDULERS
from ran.mac.scheduler import Observation
from ran.slot import run_slot
from tests.ran.worlds import small_world

NAMES = SCHEDULERS.names()


def observation(seed: int, *, batch: int, cells: int, per_cell: int, groups: int) -> Observation:
    rng = np.random.default_rng(seed)
    ues = cells * per_cell
    serving = np.tile(np.repeat(np.arange(cells, dtype=np.int32), per_cell), (batch, 1))
    reserved = np.full((batch, cells, groups), -1, np.int32)
    for cell in range(cells):
        taken = rng.random((batch, groups)) < 0.2
        reserved[:, cell][taken] = cell * per_cell
    backlog = rng.integers(0, 4000, (batch, ues)) * (rng.random((batch, ues)) < 0.7)
    rate = rng.uniform(1.0, 3000.0, (batch, ues, groups)).astype(np.float32)
    served = rng.integers(0, 5000, (batch, ues))
    return Observation(
        backlog.astype(np.int64), rate, served.astype(np.int64), serving, reserved, int(rng.integers(1000))
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 3), cells=st.integers(1, 3), per_cell=st.integers(1, 6),
    groups=st.integers(1, 15),
)  # fmt: skip
def test_a_grant_is_lawful(name, seed, batch, cells, per_cell, groups):
    """Properties: shape and dtype; owners wait in the cell; reservations stay; no group idles while a UE waits."""
    seen = observation(seed, batch=batch, cells=cells, per_cell=per_cell, groups=groups)
    before = seen.reserved.copy()
    scheduler = SCHEDULERS.get(name)()
    owner, state = scheduler.decide(seen, scheduler.start(batch, cells, cells * per_cell))
    assert owner.shape == before.shape
    assert owner.dtype == np.int32
    assert state.shape[0] == batch
    assert (owner[before >= 0] == before[before >= 0]).all()
    for b in range(batch):
        for cell in range(cells):
            for group in range(groups):
                ue = owner[b, cell, group]
                if ue >= 0 and before[b, cell, group] < 0:
                    assert seen.serving_cell[b, ue] == cell
                    assert seen.backlog_bytes[b, ue] > 0
            members = np.flatnonzero(seen.serving_cell[b] == cell)
            granted = {ue: seen.rate_bits[b, ue, owner[b, cell] == ue].sum() for ue in members}
            starved = [
                ue for ue in members if seen.backlog_bytes[b, ue] > 0 and granted[ue] < 8 * seen.backlog_bytes[b, ue]
            ]
            if starved:
                assert (owner[b, cell] >= 0).all(), "a group idles although a UE waits"


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


@pytest.mark.parametrize("name", ["proportional_fair", "round_robin"])
def test_equal_ues_get_equal_shares(name):
    """Oracle: symmetry; in a world where all UEs are alike each holds the same share of groups within 2 %."""
    small = small_world(ues_per_cell=5, loss_db=(100, 100 + 1e-9), flat=True, scheduler=name, pattern="D")
    small.snapshot.gain[:] = small.snapshot.gain[:, :1]
    twin = small_world(ues_per_cell=5, loss_db=(100, 100 + 1e-9), flat=True, scheduler=name, pattern="D")
    twin.downlink.flow["enqueued"] = 1 << 40
    from ran.air import prepare_air

    air = prepare_air(twin.plan, small.snapshot, small.snapshot, twin.serving_cell)
    for slot in range(4000):
        run_slot(twin.plan, slot, air, twin.downlink, None)
    share = twin.downlink.tally["prb_slots"][0] / twin.downlink.tally["prb_slots"][0].sum()
    np.testing.assert_allclose(share, 0.2, rtol=0.02)


def test_proportional_fair_prefers_each_ue_where_it_is_good():
    """Oracle: hand-made channel in which each UE is good on one half of the band: PF gives it that half."""
    seen = observation(1, batch=1, cells=1, per_cell=2, groups=10)
    seen.reserved[:] = -1
    seen.backlog_bytes[:] = 1 << 30
    seen.served_bits[:] = 1000
    seen.rate_bits[0, 0], seen.rate_bits[0, 1] = [3000] * 5 + [100] * 5, [100] * 5 + [3000] * 5
    owner, _ = SCHEDULERS.get("proportional_fair")().decide(seen, np.full((1, 2), 1000.0))
    assert owner[0, 0].tolist() == [0] * 5 + [1] * 5

"""Oracles: hand-made processes, groups and ranges, and what each must become."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.harq_kernels import WAITS, collect_feedback, flush_processes, reserve_retransmissions
from ran.plan import SLICE_DTYPE
from ran.state import IDLE, NACK_CAPACITY, PENDING, WAITING, LinkState
from tests.ran.worlds import small_world


def link(**changes) -> tuple[LinkState, np.ndarray, np.ndarray]:
    """Return state, parameters and slices of two UEs with two bearers, the second without acknowledgements."""
    small = small_world(ues_per_cell=2)
    params = small.plan.downlink.params.copy()
    for name, value in changes.items():
        params[name] = value
    state = small.link()
    state.bearer = np.zeros((1, 2, 2), state.bearer.dtype)
    state.tally = np.zeros((1, 2, 2), state.tally.dtype)
    state.credit = np.zeros((1, 1, 2))
    slices = np.zeros(2, SLICE_DTYPE)
    slices["share"], slices["unacknowledged"] = 0.5, [0, 1]
    return state, params, slices


def process(state: LinkState, n: int, **values) -> None:
    for name, value in {"status": WAITING, "due_slot": 5, "attempts": 1, "payload": 100, "prbs": 4, **values}.items():
        state.harq[0, 0, n][name] = value


def feedback(slot: int, state: LinkState, params, slices):
    backlog, pending, chosen = np.zeros((3, 1, 2), np.int64)
    wanted = np.zeros((1, 1, 2), bool)
    collect_feedback(
        slot, np.zeros((1, 2), np.int32), state.ue, state.bearer, state.harq, state.nack, state.tally, state.credit,
        params, slices, backlog, pending, chosen, wanted,
    )  # fmt: skip
    return backlog[0, 0], pending[0, 0], chosen[0, 0], wanted[0, 0].tolist()


def test_feedback_settles_what_is_due_and_nothing_else():
    """Oracle: hand timeline. A last failure goes to RLC when reported; the oldest pending block goes first."""
    state, params, slices = link(max_attempts=2, status_slots=7)
    process(state, 0, ack=0, attempts=2, first_slot=1, start=300)
    process(state, 1, ack=0, attempts=1, first_slot=3, due_slot=5)
    process(state, 2, ack=0, attempts=1, first_slot=2, due_slot=5)
    process(state, 3, ack=0, attempts=1, first_slot=0, due_slot=6)
    state.bearer["enqueued"][0, 0, 0] = 1000
    assert feedback(4, state, params, slices) == (0 + 1000, -1, 0, [True, False])
    assert (state.harq["status"][0, 0, :4] == WAITING).all()
    assert feedback(5, state, params, slices) == (0, 2, 0, [False, False])
    assert state.harq["status"][0, 0, :4].tolist() == [IDLE, PENDING, PENDING, WAITING]
    assert state.nack[0, 0, 0].tolist() == (300, 100, 12, 0)
    assert state.ue["nack_count"][0, 0] == 1
    assert state.tally["failures"][0].tolist() == [[1, 0], [0, 0]]


def test_unacknowledged_blocks_are_given_up_without_a_range():
    """Oracle: RLC UM repeats nothing; the failure is counted on its own bearer."""
    state, params, slices = link(max_attempts=1)
    process(state, 0, ack=0, bearer=1)
    feedback(5, state, params, slices)
    assert state.ue["nack_count"][0, 0] == 0
    assert state.harq["status"][0, 0, 0] == IDLE
    assert state.tally["failures"][0, 0].tolist() == [0, 1]


def test_olla_counts_first_attempts_and_stays_in_range():
    """Oracle: the steps by hand: up by 0.5 target / (1 - target) dB, down by 0.5 dB, never beyond 0.8 dB."""
    state, params, slices = link(olla_range_db=0.8)
    up = 0.5 * 0.1 / 0.9
    expected = 0.0
    for ack, attempts in ((1, 1), (1, 2), (0, 2), (0, 1), (0, 1), (0, 1), (1, 1)):
        process(state, 0, ack=ack, attempts=attempts)
        feedback(5, state, params, slices)
        if attempts == 1:
            expected = min(max(expected + (up if ack else -0.5), -0.8), 0.8)
        assert state.ue["olla_db"][0, 0] == pytest.approx(expected, abs=1e-12)
    for _ in range(40):
        process(state, 0, ack=1)
        feedback(5, state, params, slices)
    assert state.ue["olla_db"][0, 0] == pytest.approx(0.8)


def test_a_ue_sends_from_the_bearer_that_is_owed_most():
    """Oracle: hand-made credits; a bearer without data does not count; lost ranges wait for their report."""
    state, params, slices = link()
    state.bearer["enqueued"][0, 0] = 500, 700
    state.bearer["sent"][0, 0] = 100, 0
    state.credit[0, 0] = 1.0, 2.0
    assert feedback(0, state, params, slices) == (700, -1, 1, [True, True])
    state.credit[0, 0] = 3.0, 2.0
    state.nack[0, 0, 0] = (0, 50, 9, 0)
    state.ue["nack_count"][0, 0] = 1
    assert feedback(8, state, params, slices) == (400, -1, 0, [True, True])
    assert feedback(9, state, params, slices) == (450, -1, 0, [True, True])
    state.bearer["sent"][0, 0, 1] = 700
    assert feedback(9, state, params, slices) == (450, -1, 0, [True, False])


def test_an_interruption_keeps_everything_waiting_until_its_end():
    """Oracle: hand timeline; feedback is still taken, nothing is sent before ``resume_slot``."""
    state, params, slices = link()
    state.ue["resume_slot"][0, 0] = 8
    state.bearer["enqueued"][0, 0, 0] = 500
    assert feedback(7, state, params, slices)[:2] == (0, -1)
    process(state, 0, ack=0)
    assert feedback(7, state, params, slices)[:2] == (0, WAITS)
    assert feedback(8, state, params, slices)[:2] == (0, 0)


SIZES = np.array([4, 4, 3], np.int32)


def reserve(slot: int, need: list[int], rate: list[list[float]]) -> tuple[list[int], list[int]]:
    """Return groups' owners and pending processes where UE u's process 1 has ``need[u]`` PRBs, 0 for none."""
    small = small_world(ues_per_cell=len(need))
    harq = small.link().harq
    harq["prbs"][0, :, 1] = need
    pending = np.where(np.array(need) > 0, 1, -1)[None]
    owner = np.full((1, 1, 3), 7, np.int32)
    serving = np.zeros((1, len(need)), np.int32)
    reserve_retransmissions(slot, harq, pending, serving, np.array([rate], np.float32), SIZES, owner)
    return owner[0, 0].tolist(), pending[0].tolist()


def test_retransmissions_get_their_best_groups_while_there_is_room():
    """Oracle: hand-made groups of 4, 4 and 3 PRBs. Room is counted in PRBs; who finds none keeps waiting."""
    rates = [[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]]
    assert reserve(0, [4, 0], rates) == ([-1, 0, -1], [1, -1])
    assert reserve(0, [5, 0], rates) == ([-1, 0, 0], [1, -1])
    assert reserve(0, [11, 0], rates) == ([0, 0, 0], [1, -1])
    assert reserve(0, [4, 4], rates) == ([1, 0, 1], [1, 1])
    assert reserve(0, [8, 4], [[3.0, 2.0, 1.0]] * 2) == ([0, 0, -1], [1, WAITS])
    assert reserve(0, [8, 3], [[3.0, 2.0, 1.0]] * 2) == ([0, 0, 1], [1, 1])
    # In the next slot the other UE is first.
    assert reserve(1, [8, 8], rates) == ([1, 1, 1], [WAITS, 1])
    assert reserve(1, [8, 4], [[3.0, 2.0, 1.0]] * 2) == ([1, -1, -1], [WAITS, 1])


def flush(state: LinkState, params, slices, slot: int = 9) -> list[list[int]]:
    rows = np.zeros((state.harq.shape[2], 3), np.int64)
    count = flush_processes(slot, state.ue, state.bearer, state.harq, state.nack, params, slices, 0, 0, rows)
    return rows[:count].tolist()


def test_a_flush_forwards_what_has_not_arrived_and_loses_only_unacknowledged_bytes():
    """Oracle: hand-made processes: arrived, on its way, to be sent again, given up already; AM and UM."""
    state, params, slices = link(max_attempts=2)
    process(state, 0, ack=1, start=0)
    process(state, 1, ack=0, start=100)
    process(state, 2, ack=0, start=500, status=PENDING)
    process(state, 3, ack=0, start=0, bearer=1)
    process(state, 4, ack=0, start=100, bearer=1, attempts=2)  # its loss was counted when it was sent
    process(state, 5, ack=1, start=200, bearer=1)
    assert flush(state, params, slices) == [[1, 0, 100]]
    assert state.bearer["lost"][0, 0].tolist() == [0, 100]
    assert state.nack[0, 0, :2].tolist() == [(100, 100, 9, 0), (500, 100, 9, 0)]
    assert state.ue["nack_count"][0, 0] == 2
    assert (state.harq["status"] == IDLE).all()


def test_a_flush_without_room_for_ranges_starts_the_block_again():
    """Oracle: the list of ranges is full, so the block itself is kept, as a new one: nothing of it was combined."""
    state, params, slices = link(max_attempts=3)
    for n in range(NACK_CAPACITY):
        state.nack[0, 0, n] = (10_000 + 10 * n, 5, 0, 0)
    state.ue["nack_count"][0, 0] = NACK_CAPACITY
    process(state, 0, ack=0, start=100, attempts=2, sinr=3.0)
    assert flush(state, params, slices) == []
    kept = state.harq[0, 0, 0]
    assert (kept["status"], kept["attempts"], kept["sinr"], kept["start"]) == (PENDING, 0, 0.0, 100)

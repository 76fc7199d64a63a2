"""Oracles: the definition of chase combining, hand-made timelines, and what repetition must achieve."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.phy.power_control import PowerControl
from ran.rlc import Rlc
from ran.slot import run_slot
from ran.state import PENDING, WAITING
from ran.world import Radio
from tests.ran.worlds import small_world


def radio(**harq) -> Radio:
    return Radio(33.0, 23.0, LinkAdaptation(bler_target=0.5), Harq(**harq), PowerControl(), Rlc())


def downlink_reports(small, slots):
    small.downlink.bearer["enqueued"] = 1 << 40
    for slot in range(slots):
        report, _ = run_slot(small.plan, slot, small.air, small.downlink, None)
        if report is not None:
            yield slot, report.block[0]


def test_combined_sinr_is_the_sum_of_the_attempts():
    """Oracle: chase combining, gamma_n = sum of the attempts' effective SINRs, so n equal ones gain 10 log10(n) dB."""
    small = small_world(ues_per_cell=2, loss_db=(118, 124), isolation_db=0, flat=True, radio=radio())
    history: dict[tuple[int, int], list[float]] = {}
    seen = 0
    for _, block in downlink_reports(small, 3000):
        for ue in np.nonzero(block["prbs"])[0]:
            row = block[ue]
            key = (int(ue), int(row["process"]))
            earlier = history.get(key, []) if row["attempt"] > 1 else []
            history[key] = [*earlier, float(row["sinr"])]
            assert len(history[key]) == row["attempt"]
            assert row["combined_sinr"] == pytest.approx(min(sum(history[key]), 1e3), rel=1e-9)
            if row["attempt"] == 2:
                seen += 1
                gain_db = 10 * np.log10(row["combined_sinr"] / history[key][0])
                assert gain_db == pytest.approx(3.0, abs=0.2)  # flat, static channel: attempts are alike
    assert seen > 50


def test_feedback_takes_its_time_and_attempts_are_limited():
    """Oracle: hand timeline. No process acts before its due slot; none exceeds the limit; a block keeps its size."""
    limit, delay = 3, 7
    small = small_world(
        ues_per_cell=1, loss_db=(124, 126), isolation_db=0, radio=radio(max_attempts=limit, feedback_slots=delay)
    )
    last: dict[int, tuple[int, int, int]] = {}
    for slot, block in downlink_reports(small, 2000):
        row = block[0]
        if row["prbs"] == 0:
            continue
        process, attempt = int(row["process"]), int(row["attempt"])
        assert 1 <= attempt <= limit
        if process in last:
            before, previous, size = last[process]
            assert slot - before >= delay
            if attempt > 1:
                assert attempt == previous + 1
                assert row["tb_bits"] == size
        last[process] = slot, attempt, int(row["tb_bits"])


def test_stop_and_wait_fills_only_as_many_processes_as_there_are():
    """Property: with one process and feedback after n slots, a UE sends at most once in n slots."""
    small = small_world(ues_per_cell=1, radio=radio(processes=1, feedback_slots=10))
    slots = [slot for slot, block in downlink_reports(small, 200) if block[0]["prbs"] > 0]
    assert min(np.diff(slots)) >= 10
    assert set(small.downlink.harq["status"].ravel()) <= {0, WAITING, PENDING}


def test_four_attempts_at_a_ten_percent_target_leave_less_than_a_thousandth():
    """Oracle: REFERENCE bar of 1e-3 residual error; the first attempt is aimed at 10 %."""
    policy = Radio(33.0, 23.0, LinkAdaptation(bler_target=0.1), Harq(max_attempts=4), PowerControl(), Rlc())
    small = small_world(ues_per_cell=6, loss_db=(105, 122), isolation_db=0, radio=policy, pattern="D")
    for _ in downlink_reports(small, 6000):
        pass
    tally = small.downlink.tally[0, :, 0]
    assert tally["blocks"].sum() > 10_000
    assert tally["failures"].sum() / tally["blocks"].sum() < 1e-3
    assert 0.05 < tally["first_errors"].sum() / tally["blocks"].sum() < 0.15

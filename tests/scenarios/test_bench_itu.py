"""The table beside ITU-R's requirements: what is pooled, what is quoted."""

from __future__ import annotations

import numpy as np
import pytest

from channel.errors import UserError
from scenarios.bench import itu, run_benchmark
from tests.ran.metrics.test_kpis import network


def test_requirements_are_those_of_dense_urban():
    """Golden rows: Report ITU-R M.2410-0 clauses 4.4 and 4.5, Dense Urban - eMBB."""
    assert itu.REQUIRED == {"downlink": (7.8, 0.225), "uplink": (5.4, 0.15)}


def test_drops_are_pooled_user_by_user():
    """Oracle: by hand: a drop has UEs of 0.4, 0.8, 1.2 and 1.6 bit/s/Hz and cells of mean 2; two drops have 8 UEs."""
    row = itu.pooled([network(), network()], "downlink")
    assert row.cell_se_bit_s_hz == (2.0, 2.0)
    assert row.edge_se_bit_s_hz == pytest.approx(np.percentile([0.4, 0.8, 1.2, 1.6] * 2, 5))


def test_a_drop_is_a_seed_of_a_packaged_scenario():
    """Property: different seeds, both directions where there are full buffers; the settings reach the world."""
    drops, rate = itu.measure_drops("poisson", itu.MODES["MU-MIMO"], drops=2, duration_s=0.02, warmup_s=0.01)
    assert rate > 0
    assert [way.direction for way in drops[0].directions] == ["downlink", "uplink"]
    assert drops[0].directions[0].carried_bit_s != drops[1].directions[0].carried_bit_s


def test_the_table_names_what_was_not_verified(monkeypatch):
    """Property: a row for each scenario, mode and direction; requirement, spread and assumptions are said."""
    monkeypatch.setattr(itu, "measure_drops", lambda scenario, mimo: ([network()] * 3, 70.0))
    lines: list[str] = []
    run_benchmark("itu", lines.append)
    table = "\n".join(lines)
    assert sum("umi_21" in line and "2.00" in line for line in lines) == 4
    assert sum("uma_21" in line and "2.00" in line for line in lines) == 4
    assert "(2.00 to 2.00)" in table
    assert table.count("not verified") == 2
    assert "antennas" in table


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(UserError, match="itu"):
        run_benchmark("itx")

"""The standardised 5QI values."""

from __future__ import annotations

import pytest

from channel.errors import UserError
from ran.traffic.five_qi import FIVE_QI, qos

# TS 23.501 (release 18) table 5.7.4-1: 5QI, default priority level, packet delay budget in ms, -log10 error rate.
GBR = """1 20 100 2; 2 40 150 3; 3 30 50 3; 4 50 300 6; 65 7 75 2; 66 20 100 2; 67 15 100 3;
         71 56 150 6; 72 56 300 4; 73 56 300 8; 74 56 500 8; 76 56 500 4"""
NON_GBR = """5 10 100 6; 6 60 300 6; 7 70 100 3; 8 80 300 6; 9 90 300 6; 10 90 1100 6; 69 5 60 6; 70 55 200 6;
             79 65 50 2; 80 68 10 6"""
DELAY_CRITICAL_GBR = """82 19 10 4; 83 22 10 4; 84 24 30 5; 85 21 5 5; 86 18 5 4; 87 25 5 3; 88 25 10 3; 89 25 15 4;
                        90 25 20 4"""


def test_table_5_7_4_1():
    """Golden rows: all of TS 23.501 table 5.7.4-1, typed in the specification's own units."""
    golden = {}
    for resource_type, rows in (("gbr", GBR), ("non_gbr", NON_GBR), ("delay_critical_gbr", DELAY_CRITICAL_GBR)):
        for row in rows.split(";"):
            value, priority, budget_ms, exponent = (int(word) for word in row.split())
            golden[value] = (resource_type, priority, pytest.approx(budget_ms * 1e-3), pytest.approx(10.0**-exponent))
    assert len(golden) == 31
    assert {value: tuple(row) for value, row in FIVE_QI.items()} == golden


def test_an_unknown_5qi_names_the_known_ones():
    """Property: the error says what was given, where the values come from and which there are."""
    with pytest.raises(UserError, match=r"75 is not a standardised 5QI \(TS 23.501 table 5.7.4-1\).*1, 2, .*89, 90"):
        qos(75)

"""Oracles: a byte-by-byte segmenter, the header lengths of TS 38.321/38.322, and the bytes put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran.ranges import Ranges
from ran.rlc import Rlc
from ran.rlc_kernels import add_range, fill_block, next_range, take_range
from ran.state import BEARER_DTYPE, NACK_CAPACITY, NACK_DTYPE, UE_DTYPE


def fill_byte_by_byte(capacity: int, start: int, available: int, sdu: int) -> tuple[int, int]:
    """Return (payload, header): put one more byte in as long as payload and the headers it needs still fit."""

    def headers(count: int) -> int:
        total, at = 0, start
        while at < start + count:
            part = min(sdu - at % sdu, start + count - at)
            rlc = 3 if at % sdu == 0 else 5
            total += rlc + (2 if rlc + part <= 255 else 3)
            at += part
        return total

    best = 0
    for count in range(1, available + 1):
        if count + headers(count) <= capacity:
            best = count
        elif count + headers(count) > capacity + 8:
            break
    return best, headers(best)


@given(
    capacity=st.integers(0, 3000), start=st.integers(0, 4000), available=st.integers(0, 4000),
    sdu=st.sampled_from([240, 257, 300, 1500]),
)  # fmt: skip
def test_filling_equals_a_byte_by_byte_segmenter(capacity, start, available, sdu):
    """Oracle: the slow segmenter. One byte may be left where a longer length field costs just what it would carry."""
    payload, header = fill_block(capacity, start, available, sdu)
    best, best_header = fill_byte_by_byte(capacity, start, available, sdu)
    assert payload + header <= capacity
    assert best - 6 <= payload <= best
    if payload == best:
        assert header == best_header


def test_headers_by_hand():
    """Oracle: hand count. A whole SDU: 3 (MAC, 16-bit length) + 3 (RLC); its continuation 3 + 5; a short one 2 + 3."""
    assert fill_block(10_000, 0, 1500, 1500) == (1500, 6)
    assert fill_block(10_000, 700, 800, 1500) == (800, 8)
    assert fill_block(10_000, 0, 200, 1500) == (200, 5)
    assert fill_block(10_000, 0, 3000, 1500) == (3000, 12)


def test_lost_ranges_go_first_and_in_order():
    """Oracle: hand-made queue. New data wait while a reported loss is ready; one not yet reported is not sent."""
    ue, bearer = np.zeros((1, 1), UE_DTYPE), np.zeros((1, 1, 2), BEARER_DTYPE)
    nack = np.zeros((1, 1, NACK_CAPACITY), NACK_DTYPE)
    bearer["enqueued"][..., 1], bearer["sent"][..., 1] = 1000, 600
    assert add_range(ue, nack, 0, 0, 1, 100, 50, 40)
    assert add_range(ue, nack, 0, 0, 1, 300, 20, 10)
    assert next_range(5, ue, bearer, nack, 0, 0, 1) == (600, 400, -1)
    assert next_range(10, ue, bearer, nack, 0, 0, 1) == (300, 20, 1)
    assert next_range(10, ue, bearer, nack, 0, 0, 0) == (0, 0, -1), "another bearer's loss"
    take_range(ue, bearer, nack, 0, 0, 1, 1, 15)
    assert next_range(10, ue, bearer, nack, 0, 0, 1) == (315, 5, 1)
    take_range(ue, bearer, nack, 0, 0, 1, 1, 5)
    assert ue["nack_count"][0, 0] == 1
    assert next_range(40, ue, bearer, nack, 0, 0, 1) == (100, 50, 0)
    take_range(ue, bearer, nack, 0, 0, 1, -1, 400)
    assert bearer["sent"][0, 0, 1] == 1000


def test_ranges_that_touch_become_one_and_a_full_list_says_so():
    """Oracle: hand-made ranges. Ranges of different bearers never join; no range is added beyond the capacity."""
    ue, nack = np.zeros((1, 1), UE_DTYPE), np.zeros((1, 1, NACK_CAPACITY), NACK_DTYPE)
    for k, start in ((0, 100), (0, 150), (1, 200), (0, 50)):
        assert add_range(ue, nack, 0, 0, k, start, 50, start)
    assert ue["nack_count"][0, 0] == 2
    assert nack[0, 0, 0].tolist()[:3] == (50, 150, 150)
    for index in range(NACK_CAPACITY - 2):
        assert add_range(ue, nack, 0, 0, 0, 1000 + 10 * index, 5, 0)
    assert not add_range(ue, nack, 0, 0, 0, 1, 5, 0)
    assert add_range(ue, nack, 0, 0, 0, 1005, 5, 0), "it touches a range, so it needs no room"


@given(
    size=st.integers(0, 20_000), sdu=st.integers(240, 3000), header=st.integers(0, 200),
    cuts=st.lists(st.tuples(st.integers(0, 25_000), st.integers(1, 900)), max_size=6),
)  # fmt: skip
def test_what_comes_out_is_what_arrived_and_zeros(size, sdu, header, cuts):
    """Oracle: a byte-by-byte receiver. Without losses the payload itself comes out; an SDU with a hole is a gap."""
    rlc = Rlc(mode="um", sdu_bytes=sdu, packet_header_bytes=header)
    payload = bytes(np.random.default_rng(size).integers(1, 256, size, dtype=np.uint8))
    # Where each byte of the row of SDUs comes from: an offset of the payload, or -1 in a header.
    piece = sdu - header
    source: list[int] = []
    for start in range(0, size, piece):
        source += [-1] * header + list(range(start, min(start + piece, size)))
    assert rlc.stream_bytes(size) == len(source)
    there = np.ones(len(source), bool)
    for start, count in cuts:
        there[start : start + count] = False
    arrived = Ranges()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2)[::-1].tolist():
        arrived.add(start, stop)
    expected = bytearray(size)
    for start in range(0, len(source), sdu):
        if there[start : start + sdu].all():
            for offset in source[start : start + sdu]:
                if offset >= 0:
                    expected[offset] = payload[offset]
    got, gaps = rlc.receive(payload, arrived)
    assert got == bytes(expected)
    inside = np.zeros(size, bool)
    for start, stop in gaps:
        assert not inside[start:stop].any()
        inside[start:stop] = True
    assert not any(np.frombuffer(got, np.uint8)[inside])
    assert all(np.frombuffer(got, np.uint8)[~inside])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=30))
def test_ranges_are_a_set_of_bytes(pieces):
    """Oracle: Python's set. Catches a join of ranges that do not touch, and a byte that is counted twice."""
    ranges, bytes_there = Ranges(), set()
    for start, count in pieces:
        new = set(range(start, start + count))
        if new & bytes_there:
            with pytest.raises(AssertionError, match="arrived twice"):
                ranges.add(start, start + count)
            continue
        ranges.add(start, start + count)
        bytes_there |= new
    assert {offset for start, stop in ranges for offset in range(start, stop)} == bytes_there
    assert ranges.total == len(bytes_there)
    assert {o for a, b in ranges.missing(80) for o in range(a, b)} == set(range(80)) - bytes_there
    assert all(a[1] < b[0] for a, b in zip(list(ranges), list(ranges)[1:], strict=False)), "touching ranges are joined"

"""Oracles: a byte-by-byte segmenter, the header lengths of TS 38.321/38.322, and the bytes put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(
    payload=st.binary(max_size=8000), sdu=st.integers(240, 2000), header=st.integers(0, 60),
)  # fmt: skip
def test_reassembly_returns_the_payload(payload, sdu, header):
    """Property: reassemble(packetise(x)) is x, and every SDU but the last is full."""
    rlc = Rlc(sdu_bytes=sdu, packet_header_bytes=header)
    wire = rlc.packetise(payload)
    assert rlc.reassemble(wire) == payload
    assert len(wire) == len(payload) + header * -(-len(payload) // (sdu - header))


@given(position=st.integers(0, 5999), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(position, flip):
    """Property: any corrupted byte fails the header check. Catches a reassembly that trusts the network."""
    rlc = Rlc()
    wire = bytearray(rlc.packetise(bytes(range(256)) * 24))
    wire[position % len(wire)] ^= flip
    with pytest.raises(AssertionError, match="corrupt"):
        rlc.reassemble(bytes(wire))


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


@given(size=st.integers(1, 20_000), cuts=st.lists(st.tuples(st.integers(0, 22_000), st.integers(1, 900)), max_size=5))
def test_gaps_are_whole_packets_and_zero(size, cuts):
    """Property: every lost byte's SDU is a gap of zeros, all other bytes are the payload's. Catches bytes made up."""
    rlc = Rlc(mode="um")
    payload = bytes(np.random.default_rng(size).integers(1, 256, size, dtype=np.uint8))
    wire = bytearray(rlc.packetise(payload))
    lost = [(start, min(start + count, len(wire))) for start, count in cuts if start < len(wire)]
    for start, stop in lost:
        wire[start:stop] = bytes(stop - start)
    got, gaps = rlc.reassemble_with_gaps(bytes(wire), lost)
    piece = rlc.sdu_bytes - rlc.packet_header_bytes
    missing = {n for start, stop in lost for n in range(start // rlc.sdu_bytes, (stop - 1) // rlc.sdu_bytes + 1)}
    expected = b"".join(
        bytes(len(payload[at : at + piece])) if at // piece in missing else payload[at : at + piece]
        for at in range(0, size, piece)
    )
    assert got == expected
    assert all(not any(got[start:stop]) for start, stop in gaps)
    assert sum(stop - start for start, stop in gaps) == sum(len(payload[n * piece : (n + 1) * piece]) for n in missing)

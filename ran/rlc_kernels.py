"""Compiled RLC: how many SDU bytes fit into a transport block once every header is paid for."""

from __future__ import annotations

import numba

# TS 38.321 figure 6.1.2-1/2 (MAC subheader, 8- or 16-bit length) and TS 38.322 clause 6.2.2.4 (AMD PDU,
# 18-bit sequence number; segments that do not start an SDU carry a 16-bit offset).
_MAC_SHORT, _MAC_LONG, _MAC_SHORT_LIMIT = 2, 3, 255
_RLC_FIRST, _RLC_SEGMENT = 3, 5


@numba.njit(cache=True)
def fill_block(capacity, start, available, sdu_bytes):
    """Return (SDU bytes, header bytes) carried by a transport block of ``capacity`` bytes.

    The byte stream is a row of SDUs of ``sdu_bytes``; ``start`` is the offset of the first byte to carry,
    ``available`` how many there are. Each (segment of an) SDU pays a MAC subheader and an RLC header.
    """
    payload = 0
    header = 0
    while payload < available:
        offset = (start + payload) % sdu_bytes
        rlc = _RLC_FIRST if offset == 0 else _RLC_SEGMENT
        take = min(sdu_bytes - offset, available - payload)
        # The length field counts what follows the MAC subheader: RLC header and SDU bytes.
        mac = _MAC_SHORT if rlc + take <= _MAC_SHORT_LIMIT else _MAC_LONG
        take = min(take, capacity - payload - header - rlc - mac)
        if take <= 0:
            break
        # Cut to the block's room it may fit the short field after all.
        payload += take
        header += rlc + (_MAC_SHORT if rlc + take <= _MAC_SHORT_LIMIT else _MAC_LONG)
    return payload, header


@numba.njit(cache=True)
def next_range(slot, ue, bearer, nack, b, u, k):
    """Return (start, bytes, index) of what bearer ``k`` of a UE sends next.

    A range reported lost (index >= 0) comes before new data (-1).
    """
    for n in range(ue[b, u].nack_count):
        if nack[b, u, n].bearer == k and nack[b, u, n].ready_slot <= slot:
            return nack[b, u, n].start, nack[b, u, n].payload, n
    return bearer[b, u, k].sent, bearer[b, u, k].enqueued - bearer[b, u, k].sent, -1


@numba.njit(cache=True)
def take_range(ue, bearer, nack, b, u, k, index, payload):
    """Take ``payload`` bytes from the front of a lost range (``index`` >= 0) or of bearer ``k``'s new data (-1)."""
    if index < 0:
        bearer[b, u, k].sent += payload
        return
    lost = nack[b, u, index]
    lost.start += payload
    lost.payload -= payload
    if lost.payload == 0:
        last = ue[b, u].nack_count - 1
        for n in range(index, last):
            _copy_range(nack, b, u, n + 1, n)
        ue[b, u].nack_count = last


@numba.njit(cache=True)
def add_range(ue, nack, b, u, k, start, payload, ready_slot):
    """Note a lost range of bearer ``k``, joined to one that it touches; return whether there was room."""
    for n in range(ue[b, u].nack_count):
        other = nack[b, u, n]
        if other.bearer != k:
            continue
        if other.start + other.payload == start or start + payload == other.start:
            other.start = min(other.start, start)
            other.payload += payload
            other.ready_slot = max(other.ready_slot, ready_slot)
            return True
    n = ue[b, u].nack_count
    if n == nack.shape[2]:
        return False
    nack[b, u, n].bearer = k
    nack[b, u, n].start = start
    nack[b, u, n].payload = payload
    nack[b, u, n].ready_slot = ready_slot
    ue[b, u].nack_count = n + 1
    return True


@numba.njit(cache=True)
def _copy_range(nack, b, u, source, target):
    nack[b, u, target].bearer = nack[b, u, source].bearer
    nack[b, u, target].start = nack[b, u, source].start
    nack[b, u, target].payload = nack[b, u, source].payload
    nack[b, u, target].ready_slot = nack[b, u, source].ready_slot

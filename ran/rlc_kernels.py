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
        payload += take
        header += rlc + mac
    return payload, header


@numba.njit(cache=True)
def next_range(slot, flow, nack, b, u):
    """Return (start, bytes, index) of what to send next: a range reported lost (index >= 0) or new data (-1)."""
    for n in range(flow[b, u].nack_count):
        if nack[b, u, n].ready_slot <= slot:
            return nack[b, u, n].start, nack[b, u, n].payload, n
    return flow[b, u].sent, flow[b, u].enqueued - flow[b, u].sent, -1


@numba.njit(cache=True)
def take_range(flow, nack, b, u, index, payload):
    """Take ``payload`` bytes from the front of a lost range (``index`` >= 0) or of the new data (-1)."""
    if index < 0:
        flow[b, u].sent += payload
        return
    lost = nack[b, u, index]
    lost.start += payload
    lost.payload -= payload
    if lost.payload == 0:
        last = flow[b, u].nack_count - 1
        for n in range(index, last):
            nack[b, u, n].start = nack[b, u, n + 1].start
            nack[b, u, n].payload = nack[b, u, n + 1].payload
            nack[b, u, n].ready_slot = nack[b, u, n + 1].ready_slot
        flow[b, u].nack_count = last

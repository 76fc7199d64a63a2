"""Compiled loops of UavOffload: which UAV serves whom, and how well."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def offer(place, need_hz, width_hz, adequate, desired, server, count, rate):  # type: ignore[no-untyped-def]
    """Let UEs choose UAVs and UAVs admit UEs, in all replicas.

    Every UE asks the UAV through which it needs least bandwidth for the adequate rate; each UAV admits those that need
    least as long as its bandwidth lasts, which is most UEs, and scales all their rates up alike with what is left.

    Args:
        place: of UAVs, [batch, num_uavs].
        need_hz: bandwidth for the adequate rate, [batch, num_places, num_ues]; inf: out of reach.
        width_hz: bandwidth of a UAV.
        adequate: rate in bit/s.
        desired: rate beyond which nobody is served.
        server: UAV of each UE is written here, -1 for none, [batch, num_ues].
        count: UEs of each UAV likewise, [batch, num_uavs].
        rate: of each of them likewise, bit/s.
    """
    uavs, ues = place.shape[1], need_hz.shape[2]
    wanted = np.empty(ues)
    for b in range(len(place)):
        for k in range(ues):
            server[b, k], wanted[k] = -1, np.inf
            for u in range(uavs):
                needed = need_hz[b, place[b, u], k]
                if needed < wanted[k]:
                    server[b, k], wanted[k] = u, needed
        order = np.argsort(wanted)
        for u in range(uavs):
            used, admitted = 0.0, 0
            for k in order:
                if server[b, k] == u:
                    if used + wanted[k] <= width_hz:
                        used, admitted = used + wanted[k], admitted + 1
                    else:
                        server[b, k] = -1
            count[b, u] = admitted
            rate[b, u] = min(adequate * width_hz / used, desired) if admitted > 0 else 0.0


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def alone(need_hz, width_hz, adequate, desired, per_ue, per_content, per_bit_s, count, rate):  # type: ignore[no-untyped-def]
    """Write the best number of UEs that one UAV could serve from each place if no other existed, and their rate.

    Best by sum over them of per_ue + per_content (r - a) / (d - a) + per_bit_s r. ``count`` and ``rate`` are
    [batch, num_places].
    """
    for b in range(need_hz.shape[0]):
        for place in range(need_hz.shape[1]):
            ordered = np.sort(need_hz[b, place])
            used, most = 0.0, 0.0
            count[b, place], rate[b, place] = 0, 0.0
            for k in range(len(ordered)):
                used += ordered[k]
                if used > width_hz:
                    break
                each = min(adequate * width_hz / used, desired)
                worth = (k + 1) * (per_ue + per_content * (each - adequate) / (desired - adequate) + per_bit_s * each)
                if worth > most:
                    most, count[b, place], rate[b, place] = worth, k + 1, each


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _steps_to(place, away, orders):  # type: ignore[no-untyped-def]
    """Return after how many steps all UAVs can be in these places, whichever flies to which."""
    fewest = away.max()
    for order in orders:
        longest = 0
        for u in range(len(place)):
            longest = max(longest, away[order[u], place[u]])
        fewest = min(fewest, longest)
    return fewest


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _next(rank, places):  # type: ignore[no-untyped-def]
    """Go on to the next set of places, in which ranks never fall from one UAV to the next; return whether there is."""
    turn = len(rank) - 1
    while turn >= 0 and rank[turn] == places - 1:
        turn -= 1
    if turn >= 0:
        rank[turn:] = rank[turn] + 1
    return turn >= 0


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def together(  # type: ignore[no-untyped-def]
    need_hz, width_hz, adequate, desired, per_ue, per_content, per_bit_s, best_first, worth, away, orders, count, rate
):  # fmt: skip
    """Write how many UEs the UAVs serve, and how fast, from the best places that all can reach within 0, 1, ... steps.

    Best by the same sum as in ``alone``. A set of places whose sum alone is no more than what was found is not tried.

    Args:
        need_hz: bandwidth for the adequate rate, of one episode, [1, num_places, num_ues].
        width_hz: bandwidth of a UAV.
        adequate: rate in bit/s.
        desired: rate beyond which nobody is served.
        per_ue: worth of a UE at the adequate rate.
        per_content: what it adds at the desired one.
        per_bit_s: what a bit/s brings.
        best_first: places by ``worth``.
        worth: of each place alone, [num_places].
        away: steps of each UAV to each place, [num_uavs, num_places].
        orders: all permutations of the UAVs.
        count: UEs of each UAV are written here, [num_levels, num_uavs].
        rate: of each of them likewise, bit/s.
    """
    uavs, places, levels = away.shape[0], away.shape[1], count.shape[0]
    most = np.zeros(levels)
    rank, place = np.zeros(uavs, np.int64), np.zeros((1, uavs), np.int64)
    server, served, each = np.empty((1, need_hz.shape[2]), np.int64), np.empty((1, uavs), np.int64), np.empty((1, uavs))
    while True:
        place[0] = best_first[rank]
        above = worth[place[0]].sum()
        level = _steps_to(place[0], away, orders)
        if above > most[level]:
            offer(place, need_hz, width_hz, adequate, desired, server, served, each)
            total = 0.0
            for u in range(uavs):
                content = (each[0, u] - adequate) / (desired - adequate)
                total += served[0, u] * (per_ue + per_content * content + per_bit_s * each[0, u])
            for longer in range(level, levels):
                if total > most[longer]:
                    most[longer], count[longer], rate[longer] = total, served[0], each[0]
        if not _next(rank, places):
            return

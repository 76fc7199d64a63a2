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

"""Times and energies of UEs that share an uplink, a downlink and a server, compiled, and the best joint choice."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True)
def ue_time(ue_s, up_s, down_s, server_s, micro, batches):
    """Return a round's time: ``fill_drain_s`` of UE, uplink and server; backward UE, downlink, server (twice)."""
    forward = ue_s + up_s + server_s + (micro - 1.0) * max(ue_s, up_s, server_s)
    backward = 2.0 * ue_s + down_s + 2.0 * server_s + (micro - 1.0) * max(2.0 * ue_s, down_s, 2.0 * server_s)
    return batches * (forward + backward)


@numba.njit(cache=True)
def joint_costs(choice, there, table, up, down, speed, server, joule, radiated, circuit, receive, work, time, energy):
    """Fill the seconds and joules of every UE, [batch, num_ues], when all choose together.

    A micro-batch's air time of all, sum_j bits_j / rate_j, and server time, sum_j FLOPs_j / F, is what every UE waits
    for: band and server are shared out by demand, so that UE k has the part phi_k of the band, at phi_k of its power.

    Args:
        choice: of the menu, flat, [batch, num_ues].
        there: which UEs there are, likewise.
        table: of a micro-batch: UE FLOPs, server FLOPs, bits; [3, num_choices].
        up: rate of the whole band, bit/s, [batch, num_ues].
        down: likewise.
        speed: of the UE, FLOP/s, likewise.
        server: FLOP/s, [batch].
        joule: of the UE, J/FLOP, [batch, num_ues].
        radiated: W that the amplifier consumes at full power, likewise.
        circuit: W of the transmitter, likewise.
        receive: W of the receiver, likewise.
        work: batches, micro-batches of each.
        time: filled.
        energy: filled.
    """
    batches, micro = work
    passes = batches * micro
    for b in range(choice.shape[0]):
        up_s, down_s, server_s = 0.0, 0.0, 0.0
        for k in range(choice.shape[1]):
            if there[b, k]:
                up_s += table[2, choice[b, k]] / up[b, k]
                down_s += table[2, choice[b, k]] / down[b, k]
                server_s += table[1, choice[b, k]] / server[b]
        for k in range(choice.shape[1]):
            time[b, k], energy[b, k] = 0.0, 0.0
            if there[b, k]:
                flops, own_s = table[0, choice[b, k]], table[2, choice[b, k]] / up[b, k]
                time[b, k] = ue_time(flops / speed[b, k], up_s, down_s, server_s, micro, batches)
                energy[b, k] = passes * (
                    3.0 * flops * joule[b, k] + radiated[b, k] * own_s + circuit[b, k] * up_s + receive[b, k] * down_s
                )


@numba.njit(cache=True)
def _loads(table, m, up, down, server, joule, radiated):
    """Return a UE's seconds of air up, down and of server, J to compute and to send, a micro-batch of ``m``."""
    send_j = radiated * table[2, m] / up
    return table[2, m] / up, table[2, m] / down, table[1, m] / server, 3.0 * table[0, m] * joule, send_j


@numba.njit(cache=True)
def _rest(fits, quality, table, up, down, server, joule, radiated):
    """Return the least loads and the most quality that UEs k, k + 1, ... can have, [4, num_ues + 1] and [num_ues + 1].

    Loads are those of ``_loads``, energies added up.
    """
    ues, options = fits.shape
    least, top = np.zeros((4, ues + 1)), np.zeros(ues + 1)
    for k in range(ues - 1, -1, -1):
        low = np.full(4, math.inf)
        best = 0.0
        for m in range(options):
            if fits[k, m]:
                best = max(best, quality[m])
                own = _loads(table, m, up[k], down[k], server, joule[k], radiated[k])
                for part, load in enumerate((own[0], own[1], own[2], own[3] + own[4])):
                    low[part] = min(low[part], load)
        least[:, k] = least[:, k + 1] + low
        top[k] = top[k + 1] + best
    return least, top


@numba.njit(cache=True)
def _outcome(choice, quality, flops, speed, shared, work, deadline, good):
    """Return the latest time of UEs, at most the deadline, and ``good`` with the quality of those in time added."""
    latest = 0.0
    for j in range(len(choice)):
        taken = ue_time(flops[choice[j]] / speed[j], shared[0], shared[1], shared[2], work[1], work[0])
        good += quality[choice[j]] if taken <= deadline else 0.0
        latest = max(latest, min(taken, deadline))
    return latest, good


@numba.njit(cache=True)
def best_joint(
    fits, quality, table, up, down, speed, server, joule, radiated, circuit, receive, work, deadline, weights, found
):
    """Fill ``found`` with the choices of the best reward, [num_ues], of UEs that are all there; return that reward.

    Every combination is tried, but for those that cannot be the best: with loads of those that have chosen, and of the
    others the least that they can put, no UE's time or energy is lower. Weights: of the mean quality, the latest
    time, the energy, of signs as in the reward.
    """
    passes = work[0] * work[1]
    ues, options = fits.shape
    least, top = _rest(fits, quality, table, up, down, server, joule, radiated)
    active, listens = circuit.sum(), receive.sum()
    record, k = -math.inf, 0
    choice, load = np.full(ues, -1), np.zeros((4, ues + 1))
    while k >= 0:
        choice[k] += 1
        if choice[k] >= options:
            choice[k] = -1
            k -= 1
            continue
        m = choice[k]
        if not fits[k, m]:
            continue
        own = _loads(table, m, up[k], down[k], server, joule[k], radiated[k])
        for part in range(4):
            load[part, k + 1] = load[part, k] + own[part]
        load[3, k + 1] += own[4]
        up_s, down_s, server_s, cheapest_j = load[:, k + 1] + least[:, k + 1]
        shared = (up_s, down_s, server_s)
        latest, good = _outcome(choice[: k + 1], quality, table[0], speed, shared, work, deadline, top[k + 1])
        spent = passes * (cheapest_j + active * up_s + listens * down_s)
        reward = weights[0] * good / ues + weights[1] * latest + weights[2] * spent
        if reward > record and k == ues - 1:
            record = reward
            found[:] = choice
        elif reward > record:
            k += 1
    return record

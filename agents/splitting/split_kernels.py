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
def best_joint(
    fits, quality, table, up, down, speed, server, joule, radiated, circuit, receive, work, deadline, weights, found
):
    """Fill ``found`` with the choices of the best reward, [num_ues], of UEs that are all there; return that reward.

    Every combination is tried, but for those that cannot be the best: with loads of those that have chosen, and of the
    others the least that they can put, no UE's time or energy is lower. Weights: of the mean quality, the latest
    time, the energy, of signs as in the reward.
    """
    batches, micro = work
    passes = batches * micro
    ues, options = fits.shape
    least = np.full((3, ues + 1), 0.0)
    top, cheap = np.zeros(ues + 1), np.zeros(ues + 1)
    for k in range(ues - 1, -1, -1):
        low = np.full(4, math.inf)
        best = 0.0
        for m in range(options):
            if fits[k, m]:
                best = max(best, quality[m])
                low[0] = min(low[0], table[2, m] / up[k])
                low[1] = min(low[1], table[2, m] / down[k])
                low[2] = min(low[2], table[1, m] / server)
                low[3] = min(low[3], 3.0 * table[0, m] * joule[k] + radiated[k] * table[2, m] / up[k])
        for part in range(3):
            least[part, k] = least[part, k + 1] + low[part]
        top[k], cheap[k] = top[k + 1] + best, cheap[k + 1] + low[3]
    active = 0.0
    listens = 0.0
    for k in range(ues):
        active += circuit[k]
        listens += receive[k]
    record = -math.inf
    choice = np.full(ues, -1)
    load = np.zeros((4, ues + 1))
    k = 0
    while k >= 0:
        choice[k] += 1
        if choice[k] >= options:
            choice[k] = -1
            k -= 1
            continue
        m = choice[k]
        if not fits[k, m]:
            continue
        load[0, k + 1] = load[0, k] + table[2, m] / up[k]
        load[1, k + 1] = load[1, k] + table[2, m] / down[k]
        load[2, k + 1] = load[2, k] + table[1, m] / server
        load[3, k + 1] = load[3, k] + 3.0 * table[0, m] * joule[k] + radiated[k] * table[2, m] / up[k]
        up_s, down_s = load[0, k + 1] + least[0, k + 1], load[1, k + 1] + least[1, k + 1]
        server_s = load[2, k + 1] + least[2, k + 1]
        latest, good = 0.0, top[k + 1]
        for j in range(k + 1):
            taken = ue_time(table[0, choice[j]] / speed[j], up_s, down_s, server_s, micro, batches)
            good += quality[choice[j]] if taken <= deadline else 0.0
            latest = max(latest, min(taken, deadline))
        spent = passes * (load[3, k + 1] + cheap[k + 1] + active * up_s + listens * down_s)
        reward = weights[0] * good / ues + weights[1] * latest + weights[2] * spent
        if reward <= record:
            continue
        if k == ues - 1:
            record = reward
            found[:] = choice
        else:
            k += 1
    return record

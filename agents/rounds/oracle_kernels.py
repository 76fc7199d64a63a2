"""The oracle's search, compiled: cheapest rounds of all sets of participants, and the best sequence of them."""

from __future__ import annotations

import math

import numba
import numpy as np

from ran.learning.participation.round_kernels import band_for, lambert

_LN2 = math.log(2.0)
_LEAST_POWER = 0.01


@numba.njit(cache=True)
def menu(seconds, joules, reach, amplifier, circuit, most_w, bits, cap, times, prices, clocks):
    """Return what each UE does at each level, time and price per hertz: joules, hertz, power and clock over the most.

    Of every clock that leaves time to send, the band b minimises t P / (eff x) b (2^(r / b) - 1) + price b, with
    r = S / t, P the most power, x = P h / N0: y = r ln 2 / b solves e^y (y - 1) = price eff x / (t P) - 1, which is
    FEDL's condition, so y = 1 + W_0((price eff x / (t P) - 1) / e).

    Shapes [num_ues, num_levels, num_times, num_prices]; joules are infinite where the UE cannot end in time.
    """
    shape = (len(seconds), len(bits), len(times), len(prices))
    energy = np.full(shape, math.inf)
    band, power, clock = np.zeros(shape), np.ones(shape), np.ones(shape)
    for k in range(shape[0]):
        for j in range(shape[2]):
            for f in range(len(clocks)):
                left = times[j] - seconds[k] / clocks[f]
                if left <= 0.0:
                    continue
                train = joules[k] * clocks[f] ** 2
                for i in range(shape[1]):
                    rate = bits[i] / left
                    least, _ = band_for(rate, reach[k], cap)
                    if least == math.inf:
                        continue
                    # A UE cannot send with less than its least power: then it needs no more than this band.
                    most, _ = band_for(rate, reach[k] * _LEAST_POWER, cap)
                    for p in range(shape[3]):
                        wide = most
                        if prices[p] > 0.0:
                            grown = prices[p] * amplifier[k] * reach[k] / (left * most_w)
                            wide = rate * _LN2 / (1.0 + lambert((grown - 1.0) / math.e, True))
                        wide = min(max(wide, least), most)
                        if wide == math.inf:
                            continue
                        radiated = min(1.0, max(_LEAST_POWER, wide * math.expm1(rate * _LN2 / wide) / reach[k]))
                        spent = train + (radiated * most_w / amplifier[k] + circuit[k]) * left
                        if spent + prices[p] * wide < energy[k, i, j, p] + prices[p] * band[k, i, j, p]:
                            energy[k, i, j, p] = spent
                            band[k, i, j, p], power[k, i, j, p], clock[k, i, j, p] = wide, radiated, clocks[f]
    return energy, band, power, clock


@numba.njit(cache=True)
def cheapest(energy, band, times, total, energy_weight, latency_weight):
    """Return the least cost of every level and set, [num_levels, 2^num_ues], and the places of its time and price."""
    num_ues, num_levels, num_times, num_prices = energy.shape
    sets = 2**num_ues
    cost = np.full((num_levels, sets), math.inf)
    time_at, price_at = np.zeros((num_levels, sets), np.int64), np.zeros((num_levels, sets), np.int64)
    joules, hertz = np.zeros(sets), np.zeros(sets)
    for i in range(num_levels):
        for j in range(num_times):
            for p in range(num_prices):
                for s in range(1, sets):
                    k = 0
                    while not (s >> k) & 1:
                        k += 1
                    joules[s] = joules[s & (s - 1)] + energy[k, i, j, p]
                    hertz[s] = hertz[s & (s - 1)] + band[k, i, j, p]
                    if hertz[s] <= total:
                        found = latency_weight * times[j] + energy_weight * joules[s]
                        if found < cost[i, s]:
                            cost[i, s], time_at[i, s], price_at[i, s] = found, j, p
    return cost, time_at, price_at


@numba.njit(cache=True)
def _accuracy(progress, effective, curve):
    scale, shape, _, error, power, samples, chance = curve
    floor = min(error * (samples / max(effective, 1.0)) ** power, 1.0 - chance)
    return 1.0 - floor - (1.0 - chance - floor) * math.exp(-((progress / scale) ** shape))


@numba.njit(cache=True)
def improve(cost, work, sets, samples, worth, curve):
    """Return the set and the level of every round that coordinate ascent ends with, [num_rounds] each.

    Maximised is worth x accuracy at the end - the rounds' costs. Several starts: the same price of progress in all
    rounds, low to high; then round by round, from the last, whatever is best given the others, until nothing changes.

    Args:
        cost: [num_rounds, num_levels, num_sets].
        work: progress, [num_levels, num_sets].
        sets: who is in them, [num_sets, num_ues].
        samples: [num_ues].
        worth: of an accuracy of 1.
        curve: scale, shape, fade, error, power, all samples, chance.
    """
    rounds, levels, num_sets = cost.shape
    best = -math.inf
    best_set, best_level = np.zeros(rounds, np.int64), np.zeros(rounds, np.int64)
    at, level = np.zeros(rounds, np.int64), np.zeros(rounds, np.int64)
    for start in range(6):
        price = worth * 10.0 ** (-3.0 + 0.5 * start)
        for t in range(rounds):
            found = -math.inf
            for i in range(levels):
                for s in range(num_sets):
                    value = price * work[i, s] - cost[t, i, s]
                    if value > found:
                        found = value
                        at[t], level[t] = s, i
        value = _ascend(cost, work, sets, samples, worth, curve, at, level)
        if value > best:
            best = value
            best_set[:], best_level[:] = at, level
    return best_set, best_level


@numba.njit(cache=True)
def _weight_before(at, sets, fade, t):
    """Return the weight that each UE has before round ``t``, through the rounds that came before, [num_ues]."""
    earlier = np.zeros(sets.shape[1])
    for u in range(t):
        if at[u] > 0:
            for k in range(sets.shape[1]):
                earlier[k] = 1.0 if sets[at[u], k] else earlier[k] * fade
    return earlier


@numba.njit(cache=True)
def _best_of_round(cost, work, sets, samples, worth, curve, progress, spent, earlier, later, passed):
    """Return the value of a round's best set and level given all others, or minus infinity, and the two."""
    levels, num_sets = cost.shape
    fade = curve[2]
    value, pick, pick_level = -math.inf, -1, -1
    for s in range(num_sets):
        effective = 0.0
        for k in range(len(samples)):
            now = earlier[k] if s == 0 else (1.0 if sets[s, k] else earlier[k] * fade)
            effective += samples[k] * max(later[k], now * fade**passed)
        for i in range(levels):
            if cost[i, s] < math.inf:
                end = worth * _accuracy(progress + work[i, s], effective, curve) - spent - cost[i, s]
                if end > value + 1e-12:
                    value, pick, pick_level = end, s, i
    return value, pick, pick_level


@numba.njit(cache=True)
def _ascend(cost, work, sets, samples, worth, curve, at, level):
    rounds = len(cost)
    num_ues = len(samples)
    fade = curve[2]
    value = -math.inf
    for _ in range(12):
        before = value
        progress = 0.0
        spent = 0.0
        for t in range(rounds):
            progress += work[level[t], at[t]]
            spent += cost[t, level[t], at[t]]
        later = np.zeros(num_ues)
        # later[k]: weight of UE k at the end through rounds after t; passed: rounds after t in which anybody took part.
        passed = 0
        for t in range(rounds - 1, -1, -1):
            earlier = _weight_before(at, sets, fade, t)
            progress -= work[level[t], at[t]]
            spent -= cost[t, level[t], at[t]]
            value, pick, pick_level = _best_of_round(
                cost[t], work, sets, samples, worth, curve, progress, spent, earlier, later, passed
            )
            if pick < 0:
                pick, pick_level = at[t], level[t]
            at[t], level[t] = pick, pick_level
            progress += work[pick_level, pick]
            spent += cost[t, pick_level, pick]
            if pick > 0:
                for k in range(num_ues):
                    if sets[pick, k]:
                        later[k] = max(later[k], fade**passed)
                passed += 1
        if value <= before + 1e-9:
            break
    return value

"""Compiled loops of Handover: serve, walk, listen, and what is seen, each over all replicas."""

from __future__ import annotations

import math

import numba
import numpy as np

from agents.draws_kernels import uniform
from agents.qos import zone_of_tolerance

WAYPOINT_DRAW = 1 << 20


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def efficiency_at(sinr_db, curve, first_db, step_db):  # type: ignore[no-untyped-def]
    """Return bit per resource element, as ``agents.radio.RateCurve.at``."""
    place = np.rint((sinr_db - first_db) / step_db)
    return curve[int(min(max(place, 0.0), len(curve) - 1.0))]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def utility_of(rate, unit_bit_s, per_decade, low, high):  # type: ignore[no-untyped-def]
    """Return the bounded logarithmic utility of a rate, scaled to [-1, 1]."""
    if rate <= 0.0:
        return -1.0
    value = min(max(per_decade * math.log10(rate / unit_bit_s), low), high)
    return 2.0 * (value - low) / (high - low) - 1.0


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def serve(action, there, cell, sinr_db, load, rate, utility, curve, numbers, rate_fair, qos, changed):  # type: ignore[no-untyped-def]
    """Let UEs change cells, share the cells out, and note rates and what they are worth."""
    first_db, step_db, elements_s, kept, unit_bit_s, per_decade, low, high, adequate, desired = numbers
    num_cells = load.shape[1]
    busy, inverse = np.empty(num_cells), np.empty(num_cells)
    for b in range(len(cell)):
        load[b] = 0
        busy[:], inverse[:] = 0.0, 0.0
        for k in range(cell.shape[1]):
            wanted = action[b, k] - 1
            changed[b, k] = 0.0
            if not there[b, k]:
                rate[b, k] = 0.0
                continue
            if wanted >= 0 and wanted != cell[b, k]:
                cell[b, k], changed[b, k] = wanted, 1.0
            own = cell[b, k]
            load[b, own] += 1
            rate[b, k] = elements_s * efficiency_at(sinr_db[b, k, own], curve, first_db, step_db)
            if rate[b, k] > 0.0:
                busy[own] += 1.0
                inverse[own] += 1.0 / rate[b, k]
        for k in range(cell.shape[1]):
            own = cell[b, k]
            if rate[b, k] > 0.0:
                rate[b, k] = 1.0 / inverse[own] if rate_fair else rate[b, k] / busy[own]
                if changed[b, k] > 0.0:
                    rate[b, k] *= kept
            utility[b, k], qos[b, k] = 0.0, 0.0
            if there[b, k]:
                utility[b, k] = utility_of(rate[b, k], unit_bit_s, per_decade, low, high)
                qos[b, k] = zone_of_tolerance(rate[b, k], adequate, desired)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def walk(key, step, position_m, waypoint_m, reach_m, origin_m, size_m):  # type: ignore[no-untyped-def]
    """Move every UE ``reach_m`` towards its waypoint; one that is within reach is reached, and another drawn."""
    for b in range(len(key)):
        for k in range(position_m.shape[1]):
            x, y = waypoint_m[b, k, 0] - position_m[b, k, 0], waypoint_m[b, k, 1] - position_m[b, k, 1]
            away_m = math.sqrt(x * x + y * y)
            if away_m <= reach_m:
                for axis in range(2):
                    position_m[b, k, axis] = waypoint_m[b, k, axis]
                    drawn = uniform(key[b], WAYPOINT_DRAW + step[b], 2 * k + axis)
                    waypoint_m[b, k, axis] = origin_m[axis] + size_m[axis] * drawn
            else:
                position_m[b, k, 0] += reach_m * x / away_m
                position_m[b, k, 1] += reach_m * y / away_m


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def listen(world, position_m, snr, origin_m, spacing_m, carrier, sinr_db):  # type: ignore[no-untyped-def]
    """Note the SINR that every UE would have in every cell: SNRs between grid points, interference by carrier."""
    num_y, num_x, num_cells = snr.shape[1:]
    power, total = np.empty(num_cells), np.empty(num_cells)
    for b in range(len(world)):
        heard = snr[world[b]]
        for k in range(position_m.shape[1]):
            x = min(max((position_m[b, k, 0] - origin_m[0]) / spacing_m[0], 0.0), num_x - 1.0)
            y = min(max((position_m[b, k, 1] - origin_m[1]) / spacing_m[1], 0.0), num_y - 1.0)
            i, j = min(int(x), num_x - 2), min(int(y), num_y - 2)
            right, up = x - i, y - j
            total[:] = 0.0
            for c in range(num_cells):
                lower = (1.0 - right) * heard[j, i, c] + right * heard[j, i + 1, c]
                upper = (1.0 - right) * heard[j + 1, i, c] + right * heard[j + 1, i + 1, c]
                power[c] = (1.0 - up) * lower + up * upper
                total[carrier[c]] += power[c]
            for c in range(num_cells):
                ratio = power[c] / (max(total[carrier[c]] - power[c], 0.0) + 1.0)
                sinr_db[b, k, c] = 10.0 * math.log10(max(ratio, 1e-20))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def see(there, cell, sinr_db, load, utility, low_db, high_db, seen):  # type: ignore[no-untyped-def]
    """Write the observation, [batch, num_ues, 3 num_cells + 2]: SINRs, serving cell, loads, utility, there."""
    num_ues, num_cells = sinr_db.shape[1:]
    scale, share = 2.0 / (high_db - low_db), 2.0 / num_ues
    for b in range(len(cell)):
        for k in range(num_ues):
            row = seen[b, k]
            if not there[b, k]:
                row[:] = -1.0
                continue
            for c in range(num_cells):
                row[c] = min(max((sinr_db[b, k, c] - low_db) * scale - 1.0, -1.0), 1.0)
                row[num_cells + c] = -1.0
                row[2 * num_cells + c] = load[b, c] * share - 1.0
            row[num_cells + cell[b, k]] = 1.0
            row[3 * num_cells] = utility[b, k]
            row[3 * num_cells + 1] = 1.0


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def allow(there, sinr_db, curve, first_db, step_db, allowed):  # type: ignore[no-untyped-def]
    """Write which actions make sense, [batch, num_ues, 1 + num_cells]: keep the cell, or one in reach."""
    for b in range(len(there)):
        for k in range(there.shape[1]):
            allowed[b, k, 0] = True
            for c in range(sinr_db.shape[2]):
                carries = there[b, k] and efficiency_at(sinr_db[b, k, c], curve, first_db, step_db) > 0.0
                allowed[b, k, 1 + c] = carries


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def balance(cell, full_rate, gain, stay, chosen):  # type: ignore[no-untyped-def]
    """UE after UE takes the cell that raises the sum of logarithmic utilities most, [batch, num_ues].

    Args:
        cell: serving cells before.
        full_rate: of a UE alone in a cell, [batch, num_ues, num_cells].
        gain: reward of ten times the rate.
        stay: reward of not being handed over.
        chosen: actions are written here.
    """
    num_ues, num_cells = full_rate.shape[1:]
    count = np.empty(num_cells)
    for b in range(len(cell)):
        count[:] = 0.0
        for k in range(num_ues):
            if full_rate[b, k, cell[b, k]] > 0.0:
                count[cell[b, k]] += 1.0
        for k in range(num_ues):
            own = cell[b, k]
            if full_rate[b, k, own] > 0.0:
                count[own] -= 1.0
            best, most = own, -np.inf
            for c in range(num_cells):
                if full_rate[b, k, c] > 0.0:
                    n = count[c]
                    others = n * math.log10(n / (n + 1.0)) if n > 0.0 else 0.0
                    value = gain * (math.log10(full_rate[b, k, c] / (n + 1.0)) + others) + (stay if c == own else 0.0)
                    if value > most:
                        best, most = c, value
            chosen[b, k] = 0 if best == own else best + 1
            if full_rate[b, k, best] > 0.0:
                count[best] += 1.0


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def step_all(  # type: ignore[no-untyped-def]
    key, step, world, there, cell, position_m, waypoint_m, sinr_db, load, rate, utility, action, snr, origin_m,
    spacing_m, size_m, carrier, curve, numbers, rate_fair, reach_m, qos, changed,
):  # fmt: skip
    """Take one step in all replicas."""
    serve(action, there, cell, sinr_db, load, rate, utility, curve, numbers, rate_fair, qos, changed)
    walk(key, step, position_m, waypoint_m, reach_m, origin_m, size_m)
    listen(world, position_m, snr, origin_m, spacing_m, carrier, sinr_db)

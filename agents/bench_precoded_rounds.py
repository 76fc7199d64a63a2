"""What a precoder does to learning: how long rounds take, and what it costs to compute, on the scenario ``mu_mimo``.

For every precoder three things, each on the same worlds: rounds of federated learning whose models go down by
multi-user MIMO; the cells' spectral efficiency with full buffers, where no UE waits for the slowest; and the thread
time of a call on what the scheduler really paired. Rounds learn the same with all precoders, since nothing is lost;
what differs is when.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

import agents.gnn.icgnn  # noqa: F401 - registers itself, also where AirTune is not installed
from ran.metrics.kpis import CELL_EDGE_PERCENT
from ran.phy.multi_user import gather_channels
from ran.phy.precoding import sum_rate
from ran.threads import torch_threads
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from ran.metrics.kpis import Kpis

SCENARIO = "mu_mimo"
_FAIR = "icgnn fair"
NAMES = ("mrt", "zf", "rzf", "mmse", "wmmse", "icgnn", _FAIR)
_TEXTS = {_FAIR: "{name: icgnn, utility: proportional_fair}"}  # where a name does not say it all
SEEDS, ROUNDS = (1, 2, 3), 3
_FULL_BUFFER = "traffic.flows=[{name: full_buffer, direction: downlink}]"
_FULL_BUFFER_S, _WARMUP_S, _TIMED_SLOTS = 0.2, 0.1, 20


@dataclass(frozen=True)
class PrecodedRounds:
    """Rounds of one world with one precoder.

    Attributes:
        downlink_s, round_s: until the last UE has the model, and all of the round; means over rounds.
        downlink_se_bit_s_hz: of the models' bits, over the bandwidth and time of the resource blocks they took.
        downlink_bler: of first attempts and repetitions.
        end_s, accuracy: virtual time and test accuracy after every round.
    """

    precoder: str
    seed: int
    downlink_s: float
    round_s: float
    downlink_se_bit_s_hz: float
    downlink_bler: float
    end_s: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Cost:
    """What calling a precoder takes and promises.

    Attributes:
        call_ms: thread time of a call for all groups of a slot, median.
        expected_bit_s_hz: sum rate that a cell expects of the streams of a group, if its channels are still true.
    """

    call_ms: float
    expected_bit_s_hz: float


def _asked(precoder: str) -> str:
    """Return the override of the scenario for a name of ``NAMES``."""
    return f"mac.precoder={_TEXTS.get(precoder, precoder)}"


def measure_rounds(precoder: str, seed: int, rounds: int = ROUNDS, overrides: Sequence[str] = ()) -> PrecodedRounds:
    """Run rounds of learning with a precoder; ``overrides`` change the scenario further."""
    from ran.learning.federation import FederationState
    from ran.learning.round import run_round
    from scenarios.run import build_federation

    federation = build_federation(load(SCENARIO, [f"seed={seed}", _asked(precoder), *overrides]))
    state = FederationState.start(federation)
    records = [run_round(federation, state).record for _ in range(rounds)]
    return PrecodedRounds(
        precoder, seed,
        fmean(row.downlink_s for row in records),
        fmean(row.end_s - row.start_s for row in records),
        8 * sum(row.downlink_payload_bytes for row in records) / sum(row.downlink_resource_hz_s for row in records),
        fmean(row.downlink_bler for row in records),
        tuple(row.end_s for row in records),
        tuple(row.test_accuracy for row in records),
    )  # fmt: skip


def full_buffer(precoder: str, seed: int, overrides: Sequence[str] = ()) -> Kpis:
    """Return the downlink's indicators where every UE always waits for data."""
    from scenarios.network_run import measure

    loaded = load(SCENARIO, [f"seed={seed}", _asked(precoder), _FULL_BUFFER, *overrides])
    kpis = measure(build_world(loaded), duration_s=_FULL_BUFFER_S, warmup_s=_WARMUP_S).kpis
    return next(way for way in kpis.directions if way.direction == "downlink")


def paired_channels(seed: int, slots: int, overrides: Sequence[str] = ()) -> tuple[list[Tensor], float]:
    """Return what a precoder is called with in the first downlink slots of full buffers, and the power per PRB.

    Channels over the root of noise and interference as reported, complex64 [num_cells * num_rbgs, num_streams,
    num_tx_ant] a slot; rows without a stream are zero.
    """
    import torch

    from ran.network import Network

    network = Network(build_world(load(SCENARIO, [f"seed={seed}", _FULL_BUFFER, *overrides])))
    state, found = network.start(), list["Tensor"]()
    while len(found) < slots:
        link = network.air_at(state)[0].downlink
        report = network.step(state, directions=("downlink",)).downlink
        if report is not None:
            h = np.zeros((*report.owner.shape, link.known.own_rows.shape[-1]), np.complex64)
            gather_channels(report.owner, link.known.own_rows, link.reported_noise_w, h)
            found.append(torch.from_numpy(h.reshape(-1, *h.shape[-2:])))
    return found, float(network.plan.downlink.params["prb_power_w"][0])


def call_costs(channels: Sequence[Tensor], power_w: float, names: Sequence[str]) -> dict[str, Cost]:
    """Return what a call costs and is expected to give; precoders take turns, so that all meet the same machine."""
    import torch

    precoders = {name: load(SCENARIO, [_asked(name)]).mac.precoder for name in names}
    times, rates = dict[str, list[float]](), dict[str, list[float]]()
    with torch_threads(1), torch.no_grad():
        for h in (channels[0], *channels):  # the first one warms up
            for name, precoder in precoders.items():
                start_s = time.thread_time()
                v = precoder.precode(h, 1.0, power_w)
                times.setdefault(name, []).append(1e3 * (time.thread_time() - start_s))
                rates.setdefault(name, []).append(float(sum_rate(h, v, 1.0).mean()))
    return {name: Cost(statistics.median(times[name][1:]), fmean(rates[name][1:])) for name in names}


def compare(write: Callable[[str], object], out: Path) -> None:
    """Write the table; leave ``precoded_rounds.csv``, of every run, and ``precoded_rounds.png`` in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    channels, power_w = paired_channels(SEEDS[0], _TIMED_SLOTS)
    costs, runs, full = call_costs(channels, power_w, NAMES), list[PrecodedRounds](), dict[str, list["Kpis"]]()
    for name in NAMES:
        runs += [measure_rounds(name, seed) for seed in SEEDS]
        full[name] = [full_buffer(name, seed) for seed in SEEDS]
        write(table(runs, full, {name: costs[name]})[-1])
        _save(runs, out / "precoded_rounds.csv")
    for line in table(runs, full, costs):
        write(line)
    figure(runs, full, costs).savefig(out / "precoded_rounds.png", dpi=130)
    write(f"precoded_rounds.csv and precoded_rounds.png are in {out}")


def table(runs: Sequence[PrecodedRounds], full: Mapping[str, Sequence[Kpis]], costs: Mapping[str, Cost]) -> list[str]:
    """Return the lines of the comparison, means over the seeds."""
    lines = [
        "          models down   round     SE while     full buffers: cell SE,   5 % user   expected by     a call",
        "                   s        s     sending      bit/s/Hz     (drops)     bit/s/Hz   a group          ms",
    ]
    for name, cost in costs.items():
        mine, cells = _of(runs, name), [way.mean_cell_se_bit_s_hz for way in full[name]]
        lines.append(
            f"{name:10} {fmean(run.downlink_s for run in mine):10.3f} {fmean(run.round_s for run in mine):8.3f} "
            f"{fmean(run.downlink_se_bit_s_hz for run in mine):11.2f} {fmean(cells):13.2f} "
            f"{f'({min(cells):.2f} to {max(cells):.2f})':>17} {edge_se(full[name]):10.3f} "
            f"{cost.expected_bit_s_hz:12.1f} {cost.call_ms:12.2f}"
        )
    return lines


def edge_se(ways: Sequence[Kpis]) -> float:
    """Return the 5th percentile over the UEs of all drops, bit/s/Hz."""
    return float(np.percentile(np.concatenate([way.user_se_bit_s_hz for way in ways]), CELL_EDGE_PERCENT))


def figure(runs: Sequence[PrecodedRounds], full: Mapping[str, Sequence[Kpis]], costs: Mapping[str, Cost]) -> Figure:
    """Return a picture: time of a round beside spectral efficiency and computing time, and accuracy over time."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 3.8), layout="constrained")
    bars, efficiency, curves = drawing.subplots(1, 3)
    names, colours = list(costs), [f"C{place}" for place in range(len(costs))]
    bars.bar(
        names, [fmean(run.round_s for run in _of(runs, name)) for name in names], color="0.85", label="whole round"
    )
    bars.bar(names, [fmean(run.downlink_s for run in _of(runs, name)) for name in names], color=colours)
    bars.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
    bars.set(ylabel="virtual time (s)", title="round; coloured: models down")
    for name, colour in zip(names, colours, strict=True):
        cells = fmean(way.mean_cell_se_bit_s_hz for way in full[name])
        efficiency.plot(costs[name].call_ms, cells, "o", color=colour, label=name)
    efficiency.set(
        xscale="log", xmargin=0.2, xlabel="thread time of a call (ms)", ylabel="cell SE with full buffers (bit/s/Hz)",
        title="what computing buys",
    )  # fmt: skip
    efficiency.legend(fontsize=8, loc="lower right")
    efficiency.grid(alpha=0.3)
    draw_accuracy(curves, runs)
    return drawing


def draw_accuracy(axes: Axes, runs: Sequence[PrecodedRounds]) -> None:
    """Draw test accuracy over virtual time, the mean over seeds after every round."""
    for place, name in enumerate(dict.fromkeys(run.precoder for run in runs)):
        mine = _of(runs, name)
        end_s, accuracy = (np.mean([getattr(run, key) for run in mine], axis=0) for key in ("end_s", "accuracy"))
        axes.plot(end_s, 100 * accuracy, marker="o", ms=3, color=f"C{place}", label=name)
    axes.set(xlabel="virtual time (s)", ylabel="test accuracy (%)", title="accuracy over time")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)


def _of(runs: Sequence[PrecodedRounds], name: str) -> list[PrecodedRounds]:
    return [run for run in runs if run.precoder == name]


def _save(runs: Sequence[PrecodedRounds], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PrecodedRounds)])
        writer.writeheader()
        for run in runs:
            row = {
                key: " ".join(map(str, value)) if isinstance(value, tuple) else value
                for key, value in asdict(run).items()
            }
            writer.writerow(row)

"""FedGKT beside FedAvg of the large model that extractor and server make together: accuracy, device cost, bytes, leaks.

Eight UEs share out the samples of digits, and of MNIST where ``AIRTUNE_SHARED`` names the folder whose ``data`` holds
``mnist.npz``. Both methods are the scenario ``fedgkt_digits`` over ideal links, in single precision, with and without
``learning.gkt``: the same samples and batches of each UE, by seed, for equally many rounds of one local epoch; the
server passes once over all features in a round. FedAvg has a learning rate of its own. FedGKT's accuracy is the mean
over UEs of each one's extractor with the server's network, on the whole test set. Of MNIST there are 1,500 training
images, few enough that FedAvg of the large model, too, has converged after so many rounds.

On digits in Dirichlet shares, seeds 11 to 14, FedGKT does no better than the server alone on stems left as they were
drawn (97.7 and 98.1 %; FedAvg 97.0 %): the comparison shows that the method keeps up, not that stems must be trained.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.learning.privacy_probe import PrivacyProbe
from scenarios.bench.method_curves import mean_interval, write_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ran.learning.federation import Federation, FederationState
    from ran.learning.round import RoundResult

NUM_UES = 8
SEEDS = (1, 2, 3)
FEDAVG_LEARNING_RATE = 2e-3
PUBLISHED = "published (arXiv 2007.14513): 9-17 times fewer FLOPs, 54-105 times fewer parameters on the device"
Method = Literal["FedAvg", "FedGKT"]
FEDAVG: Method = "FedAvg"
FEDGKT: Method = "FedGKT"
METHODS: tuple[Method, ...] = (FEDAVG, FEDGKT)
Shares = Literal["equal", "Dirichlet 0.5"]
PARTITIONS: Mapping[Shares, str] = {"equal": "iid", "Dirichlet 0.5": "{name: dirichlet, alpha: 0.5}"}


@dataclass(frozen=True)
class Case:
    """One comparison: data, how they are shared out, and how long."""

    data: Literal["digits", "MNIST"]
    shares: Shares
    rounds: int

    def overrides(self, method: Method, seed: int) -> list[str]:
        """Return what differs from the packaged scenario; MNIST's 28 x 28 pixels become 14 x 14 features."""
        found = [
            f"ues.count={NUM_UES}", "channel=free_space", "learning.transport=ideal",
            "learning.compression.uplink=none", "learning.compression.downlink=none",
            f"seed={seed}", f"learning.rounds={self.rounds}", f"learning.partition={PARTITIONS[self.shares]}",
        ]  # fmt: skip
        if self.data == "MNIST":
            task = f"{{name: image_classification, train: {mnist()}, max_train_samples: 1500, max_test_samples: 1000}}"
            found += [f"learning.task={task}", "learning.model={name: resnet, image_size: 28, stem_stride: 2}"]
        if method == FEDAVG:
            found += ["learning.gkt=null", f"learning.algorithm.learning_rate={FEDAVG_LEARNING_RATE}"]
        return found


CASES = (
    Case("digits", "equal", 15),
    Case("MNIST", "equal", 40),
    Case("digits", "Dirichlet 0.5", 15),
)


@dataclass(frozen=True)
class Outcome:
    """What one method had come to after some rounds.

    Attributes:
        accuracy: on the whole test set; worst: of the worst UE's own model (of FedAvg there is but one).
        device_parameters: that a UE trains; device_flops: of the average UE in a round.
        device_bytes: of memory that training takes on the UE with most samples.
        uplink_bytes, downlink_bytes: payload of the average UE in a round.
    """

    data: str
    shares: str
    method: Method
    seed: int
    round: int
    accuracy: float
    worst: float
    device_parameters: int
    device_flops: float
    device_bytes: int
    uplink_bytes: float
    downlink_bytes: float


@dataclass(frozen=True)
class Leak:
    """How well the privacy probe reconstructs one UE's training images from the features that it reported."""

    data: str
    shares: str
    seed: int
    normalised_mse: float
    psnr_db: float
    ssim: float
    mean_image_psnr_db: float
    mean_image_ssim: float
    class_mean_psnr_db: float
    class_mean_ssim: float


def mnist() -> Path | None:
    """Return the path of MNIST, if there is one."""
    folder = os.environ.get("AIRTUNE_SHARED")
    path = Path(folder) / "data" / "mnist.npz" if folder else None
    return path if path and path.is_file() else None


def federation_of(case: Case, method: Method, seed: int) -> Federation:
    """Return one run before its first round."""
    from scenarios.load import load
    from scenarios.run import build_federation

    return build_federation(load("fedgkt_digits", case.overrides(method, seed)))


def checkpoints(rounds: int) -> list[int]:
    """Return after how many rounds to measure: each quarter."""
    return sorted({max(1, rounds * quarter // 4) for quarter in (1, 2, 3, 4)})


def measure(case: Case, method: Method, seed: int) -> Iterator[Outcome | Leak]:
    """Run a method and yield what it has come to after each quarter; of FedGKT at last what its features leak."""
    from ran.learning.federation import FederationState
    from scenarios.run import round_of

    federation = federation_of(case, method, seed)
    state, run_next = FederationState.start(federation), round_of(federation)
    for done in range(1, case.rounds + 1):
        result = run_next(federation, state)
        if done in checkpoints(case.rounds):
            yield outcome_of(case, method, federation, state, result)
    if federation.gkt:
        yield measure_leak(case, federation, state)


def outcome_of(
    case: Case, method: Method, federation: Federation, state: FederationState, result: RoundResult
) -> Outcome:
    """Return what a method has come to after the round that it has just done."""
    from ran.learning.gkt.gkt_round import edge_of

    record, gkt, learner = result.record, federation.gkt, federation.learner
    worst, parameters, memory = record.test_accuracy, learner.num_trainable, learner.training_bytes()
    if gkt:
        edges = [edge_of(gkt, state, ue) for ue in range(NUM_UES)]
        worst = min(each.accuracy for each in gkt.evaluate(edges, gkt.server_part(state.server.model)))
        parameters, memory = sum(array.size for array in gkt.initial().values()), gkt.training_bytes()
    flops = [float(str(event["flops"])) for event in result.events if event["event"] == "training_done"]
    return Outcome(
        case.data, case.shares, method, federation.seed, state.round, record.test_accuracy, worst, parameters,
        float(np.mean(flops)), memory, record.uplink_payload_bytes / NUM_UES, record.downlink_payload_bytes / NUM_UES,
    )  # fmt: skip


def measure_leak(case: Case, federation: Federation, state: FederationState) -> Leak:
    """Return what a decoder trained on features of the test images makes of UE 0's features."""
    import torch

    from ran.learning.gkt.gkt_round import edge_of
    from ran.learning.privacy_probe.attack import Pairs, attack
    from scenarios.load import load

    gkt = federation.gkt
    assert gkt is not None
    task = load("fedgkt_digits", case.overrides(FEDGKT, federation.seed)).learning.task
    test, rows, edge = task.samples(task.load().test, None), gkt.rows[0], edge_of(gkt, state, 0)
    known = torch.from_numpy(test.inputs["pixel_values"]), torch.from_numpy(test.labels)
    attacker, victims = (
        Pairs(gkt.smashed(edge, images), images, classes)
        for images, classes in (known, (gkt.images[rows], gkt.labels[rows]))
    )
    # Pixels run from -1 to 1.
    found = attack(PrivacyProbe(epochs=15), attacker, victims, peak=2.0, seed=federation.seed)
    return Leak(
        case.data, case.shares, federation.seed, found.normalised_mse, found.decoder.psnr_db, found.decoder.ssim,
        found.mean_image.psnr_db, found.mean_image.ssim, found.class_mean.psnr_db, found.class_mean.ssim,
    )  # fmt: skip


def compare(write: Callable[[str], object], out: Path) -> None:
    """Run everything and write tables; to ``out`` a CSV of all runs, of leaks and of the table, and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    outcomes, leaks = list[Outcome](), list[Leak]()
    cases = [case for case in CASES if case.data == "digits" or mnist()]
    if len(cases) < len(CASES):
        write("MNIST is left out: set AIRTUNE_SHARED to the folder whose data/ holds mnist.npz")
    for seed, case in product(SEEDS, cases):
        for found in chain.from_iterable(measure(case, method, seed) for method in METHODS):
            if isinstance(found, Leak):
                leaks.append(found)
                continue
            outcomes.append(found)
            where = f"{found.data}, shares {found.shares}, seed {seed}, round {found.round}"
            write(f"{where}: {found.method} {found.accuracy:.2%}")
        write_table(out / "runs.csv", [asdict(outcome) for outcome in outcomes])
        write_table(out / "leaks.csv", [asdict(leak) for leak in leaks])
    lines, rows = table(outcomes)
    for line in (*lines, *leak_lines(leaks)):
        write(line)
    write_table(out / "gkt.csv", rows)
    draw(outcomes, out / "gkt.png")
    write(str(out / "gkt.png"))


def table(outcomes: Sequence[Outcome]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the comparison after the last round as lines and as rows of numbers, one for each case and method.

    ``gain`` is accuracy minus FedAvg's of the same seed. Rows of FedGKT hold how many times fewer FLOPs and
    parameters the device has.
    """
    rows = list[dict[str, Any]]()
    for data, shares in dict.fromkeys((each.data, each.shares) for each in outcomes):
        here = [each for each in outcomes if (each.data, each.shares) == (data, shares)]
        last = max(each.round for each in here)
        final = {(each.method, each.seed): each for each in here if each.round == last}
        reference = next(each for each in final.values() if each.method == FEDAVG)
        for method in METHODS:
            runs = [each for each in final.values() if each.method == method]
            row: dict[str, Any] = {"data": data, "shares": shares, "method": method, "rounds": last, "seeds": len(runs)}
            row["accuracy"], row["accuracy_ci"] = mean_interval([each.accuracy for each in runs])
            gains = [each.accuracy - final[FEDAVG, each.seed].accuracy for each in runs]
            row["gain"], row["gain_ci"] = mean_interval(gains)
            for name in (
                "worst",
                "device_parameters",
                "device_flops",
                "device_bytes",
                "uplink_bytes",
                "downlink_bytes",
            ):
                row[name] = float(np.mean([getattr(each, name) for each in runs]))
            row["fewer_flops"] = reference.device_flops / row["device_flops"]
            row["fewer_parameters"] = reference.device_parameters / row["device_parameters"]
            rows.append(row)
    lines = [
        "After the last round: mean over seeds and the half-width of its 95 % t-interval; FLOPs and payload of a UE in "
        f"a round. {PUBLISHED}",
        f"{'data':<7}{'shares':<14}{'method':<8}{'rounds':>7}{'seeds':>6}{'accuracy, %':>15}{'to FedAvg, pt':>16}"
        f"{'worst UE, %':>12}{'parameters':>11}{'MFLOPs':>9}{'memory, kB':>11}{'up, kB':>9}{'down, kB':>9}"
        f"{'fewer FLOPs':>12}{'parameters':>11}",
    ]
    for row in rows:
        lines.append(
            f"{row['data']:<7}{row['shares']:<14}{row['method']:<8}{row['rounds']:>7}{row['seeds']:>6}"
            f"{100 * row['accuracy']:>8.2f} +-{100 * row['accuracy_ci']:>4.1f}"
            f"{100 * row['gain']:>+9.2f} +-{100 * row['gain_ci']:>4.1f}{100 * row['worst']:>12.2f}"
            f"{row['device_parameters']:>11.0f}{row['device_flops'] / 1e6:>9.1f}{row['device_bytes'] / 1e3:>11.0f}"
            f"{row['uplink_bytes'] / 1e3:>9.1f}{row['downlink_bytes'] / 1e3:>9.1f}"
            f"{row['fewer_flops']:>12.1f}{row['fewer_parameters']:>11.1f}"
        )
    return lines, rows


def leak_lines(leaks: Sequence[Leak]) -> list[str]:
    """Return what the privacy probe found, a line for each case: means over seeds."""
    lines = [
        "Privacy probe, UE 0's images from its features, by a decoder trained on the test images; PSNR in dB / SSIM",
        f"{'data':<7}{'shares':<14}{'normalised MSE':>15}{'decoder':>15}{'mean image':>15}{'class mean':>15}",
    ]
    for data, shares in dict.fromkeys((leak.data, leak.shares) for leak in leaks):
        here = [asdict(leak) for leak in leaks if (leak.data, leak.shares) == (data, shares)]
        mean = {
            name: float(np.mean([leak[name] for leak in here])) for name in here[0] if name not in ("data", "shares")
        }
        cells = [
            f"{mean[f'{kind}psnr_db']:.1f} / {mean[f'{kind}ssim']:.2f}" for kind in ("", "mean_image_", "class_mean_")
        ]
        lines.append(f"{data:<7}{shares:<14}{mean['normalised_mse']:>15.3f}" + "".join(f"{cell:>15}" for cell in cells))
    return lines


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw accuracy over rounds for each case, and in the last panel a UE's FLOPs and payload in a round."""
    from matplotlib.figure import Figure

    from ran.metrics.figure_style import save, styled

    cases = list(dict.fromkeys((each.data, each.shares) for each in outcomes))
    with styled():
        figure = Figure(figsize=(4 * (len(cases) + 1), 3.8))
        *panels, costs = figure.subplots(1, len(cases) + 1)
        for axes, (data, shares) in zip(panels, cases, strict=True):
            _curves(axes, [each for each in outcomes if (each.data, each.shares) == (data, shares)])
            axes.set_title(f"{data}, shares {shares}")
        panels[0].set_ylabel("test accuracy, %")
        panels[0].legend()
        _costs(costs, outcomes)
        seeds = len({each.seed for each in outcomes})
        figure.suptitle(f"FedGKT beside FedAvg of the large model, 8 UEs: mean, least and most of up to {seeds} seeds")
        save(figure, path, 130)


def _color(method: str) -> str:
    from ran.metrics.figure_style import CATEGORIES, INK

    return INK if method == FEDAVG else CATEGORIES[6]


def _curves(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    for method in METHODS:
        rounds = sorted({each.round for each in outcomes})
        values = [[100 * e.accuracy for e in outcomes if (e.method, e.round) == (method, done)] for done in rounds]
        style = "--" if method == FEDAVG else "-"
        axes.plot(rounds, [np.mean(v) for v in values], style, marker="o", color=_color(method), label=method)
        lows, highs = [min(v) for v in values], [max(v) for v in values]
        axes.fill_between(rounds, lows, highs, color=_color(method), alpha=0.13, linewidth=0)
    axes.set_xlabel("rounds")


def _costs(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw a point for each data set and method: payload of a UE in a round over its FLOPs."""
    for index, data in enumerate(dict.fromkeys(each.data for each in outcomes)):
        for method in METHODS:
            one = next(each for each in outcomes if (each.data, each.method) == (data, method))
            payload_kb = (one.uplink_bytes + one.downlink_bytes) / 1e3
            axes.plot(
                one.device_flops / 1e6, payload_kb, "os"[index % 2], color=_color(method), markersize=7,
                label=f"{method}, {data}",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.3)
    axes.legend(fontsize=8)
    axes.set_xlabel("device compute in a round, MFLOPs")
    axes.set_ylabel("payload up and down in a round, kB")

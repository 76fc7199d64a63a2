"""The report of a run, drawn from its files alone: figures and the table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from channel.errors import UserError
from ran.metrics.files import FIGURES, KPIS
from ran.metrics.kpis import NetworkKpis, background_rows, mobility_text, network_rows
from ran.metrics.results import Results, load, read_network, read_scenario
from ran.metrics.text import count, duration, percent, summary_rows, with_prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Callable[["Axes", Results], None]


def report(run_dir: str | Path) -> list[Path]:
    """Draw all figures of a run, finished or not, into its ``figures`` directory and return their paths.

    Raises:
        UserError: not a run directory, or one of its files is damaged.
    """
    from ran.metrics.figure_style import save, styled

    results = load(run_dir)
    dpi = _dpi(results.scenario)
    directory = results.path / FIGURES
    directory.mkdir(exist_ok=True)
    paths = []
    with styled():
        for name, (panels, size_in) in _figures().items():
            figure = _draw(results, panels, size_in)
            if name == "overview":
                _headline(figure, results)
            paths.append(directory / f"{name}.png")
            save(figure, paths[-1], dpi)
    if not results.timeline.empty:
        with styled():
            paths.append(directory / "split.png")
            save(_draw_split(results), paths[-1], dpi)
    if results.network is not None:
        paths.append(report_network(run_dir))
    return paths


def report_network(run_dir: str | Path) -> Path:
    """Draw the figure of a network, measured alone or shared with learning, and return its path.

    Raises:
        UserError: there are no indicators of a network, or a file is damaged.
    """
    from ran.metrics.figure_style import save, styled
    from ran.metrics.network_figures import draw_network

    directory = Path(run_dir)
    network, ues = read_network(directory)
    if network is None:
        raise UserError(f"{directory}: has no {KPIS}; give the directory that `airtune network` wrote")
    scenario = read_scenario(directory)
    path = directory / FIGURES / "network.png"
    path.parent.mkdir(exist_ok=True)
    with styled():
        save(draw_network(network, ues, _network_title(scenario, network)), path, _dpi(scenario))
    return path


def _dpi(scenario: Mapping[str, Any]) -> int:
    return int(scenario.get("report", {}).get("dpi", 130))


def _network_title(scenario: Mapping[str, Any], network: NetworkKpis) -> str:
    cells, ues = count(len(network.cells_m), "cell"), count(network.num_ues, "UE")
    radio = f"{scenario['radio']['carrier_hz'] / 1e9:g} GHz, {scenario['radio']['bandwidth_hz'] / 1e6:g} MHz"
    measured = f"{duration(network.duration_s)} from {duration(network.start_s)} on"
    return (
        f"{scenario['name']}: {cells}, {ues}, {_air(scenario['channel'])}, {radio}, seed {scenario['seed']}; {measured}"
    )


def title(results: Results) -> str:
    """Return the run's answer in one line: what was learnt over which air, how well, at what cost."""
    scenario, summary = results.scenario, results.summary
    if not summary["rounds"]:
        return f"{_subject(scenario)}: no complete round yet"
    airtime_s = summary["downlink_airtime_s"] + summary["uplink_airtime_s"]
    return (
        f"{_subject(scenario)}: {percent(summary['final_accuracy'])} after {count(summary['rounds'], 'round')}, "
        f"{duration(airtime_s)} of air time, {with_prefix(summary['energy_per_ue_j'], 'J')} per UE"
    )


def print_summary(
    summary: Mapping[str, Any], stream: TextIO | None = None, *, network: NetworkKpis | None = None
) -> None:
    """Write a run's summary: a table on a terminal, aligned text elsewhere.

    Args:
        summary: the fields of ``RunSummary``.
        stream: standard output unless given.
        network: what the network carried besides.
    """
    rows: list[tuple[str, ...]] = [*summary_rows(summary), *(background_rows(network) if network else [])]
    _print_table(str(summary["name"]), rows, stream)


def print_network(name: str, network: NetworkKpis, stream: TextIO | None = None) -> None:
    """Write a network's indicators, a column for each direction: a table on a terminal, aligned text elsewhere."""
    title = f"{name}: {duration(network.duration_s)} of virtual time, after {duration(network.start_s)}"
    rows = [*network_rows(network), ("mobility", mobility_text(network))]
    _print_table(title, rows, stream)


def _print_table(title: str, rows: Sequence[tuple[str, ...]], stream: TextIO | None) -> None:
    import sys

    stream = stream or sys.stdout
    columns = max(len(row) for row in rows)
    if not stream.isatty():
        widths = [max(len(row[k]) for row in rows if len(row) == columns) for k in range(columns - 1)]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
            stream.write("  ".join([*cells, *row[len(widths) :]]).rstrip() + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    for _ in range(columns - 1):
        table.add_column()
    for row in rows:
        table.add_row(*row)
    Console(file=stream).print(table)


def _figures() -> dict[str, tuple[list[list[Panel]], tuple[float, float]]]:
    """Return every figure by name: its panels as rows, and its size in inches."""
    from ran.metrics import figures as f

    return {
        "overview": (
            [
                [f.accuracy_over_time, f.time_per_round, f.spectral_efficiency],
                [f.map_of_ues, f.timeline, f.energy_per_ue],
            ],
            (13.0, 7.4),
        ),
        "accuracy": ([[f.accuracy_over_time, f.accuracy_over_energy]], (10.0, 3.8)),
        "round_time": ([[f.time_per_round]], (7.0, 3.8)),
        "radio": ([[f.spectral_efficiency], [f.block_error_rate]], (7.0, 6.0)),
        "traffic": ([[f.bytes_per_round], [f.airtime_per_round]], (7.0, 6.0)),
        "map": ([[f.map_of_ues]], (6.4, 5.4)),
        "timeline": ([[f.timeline]], (7.0, 4.2)),
        "energy": ([[f.energy_per_ue]], (7.0, 3.8)),
        "partition": ([[f.partition]], (7.0, 3.8)),
    }


def _draw(results: Results, panels: Sequence[Sequence[Panel]], size_in: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in)
    grid = figure.subplots(len(panels), len(panels[0]), squeeze=False)
    for row, axes_row in zip(panels, grid, strict=True):
        for panel, axes in zip(row, axes_row, strict=True):
            panel(axes, results)
    return figure


def _draw_split(results: Results) -> Figure:
    """Return the figure of a cut model: the timeline of its last round above what batches take."""
    from matplotlib.figure import Figure

    from ran.metrics import split_figures as f

    figure = Figure(figsize=(12.0, 7.2))
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1.0), squeeze=False)[:, 0]
    f.batch_timeline(above.subplots(), results)
    for panel, axes in zip(
        (f.time_per_batch, f.bytes_per_batch, f.server_utilisation), below.subplots(1, 3), strict=True
    ):
        panel(axes, results)
    return figure


def _headline(figure: Figure, results: Results) -> None:
    from ran.metrics.figure_style import FAINT

    figure.set_layout_engine("constrained", rect=(0.0, 0.0, 1.0, 0.9))
    figure.text(0.012, 0.955, title(results), fontsize=15, fontweight="bold")
    figure.text(0.012, 0.92, _setting(results.scenario), fontsize=10.5, color=FAINT)


def _subject(scenario: Mapping[str, Any]) -> str:
    return f"{scenario['learning']['task']['name'].replace('_', ' ')} over {_air(scenario['channel'])}"


def _air(channel: Mapping[str, Any]) -> str:
    names = {"umi": "UMi", "uma": "UMa", "free_space": "free space"}
    name = str(channel.get("scenario", channel["name"]))
    return names.get(name, name.replace("_", " "))


def _setting(scenario: Mapping[str, Any]) -> str:
    radio, learning = scenario["radio"], scenario["learning"]
    method = learning["split"]["method"] if learning.get("split") else learning["algorithm"]["name"]
    parts = [learning["model"]["name"], learning["adapter"]["name"], method]
    return " · ".join(
        [
            count(scenario["ues"]["count"], "UE"),
            f"{radio['carrier_hz'] / 1e9:g} GHz",
            f"{radio['bandwidth_hz'] / 1e6:g} MHz",
            *(part.replace("_", " ") for part in parts),
            f"seed {scenario['seed']}",
        ]
    )

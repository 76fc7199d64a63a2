"""The `airtune` command. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from channel.errors import UserError

if TYPE_CHECKING:
    from ran.metrics.kpis import NetworkKpis

app = typer.Typer(
    name="airtune",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

ScenarioFile = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="a YAML file, or the name of a packaged scenario", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B.C=VALUE", help="set one parameter; may be repeated", show_default=False),
]


@app.callback(
    epilog="""\b
Examples:
  airtune run quickstart                        one gNB, 8 UEs, a vision transformer with LoRA
  airtune run quickstart --set ues.count=20 --set mac.scheduler=round_robin
  airtune network umi_21                        the radio network alone: 21 cells, full buffers
  airtune show quickstart > mine.yaml           a starting point with every parameter in it
  airtune validate mine.yaml                    says what is wrong with it, line by line
  airtune list scheduler                        what can be chosen, and its parameters
  airtune env quickstart                        a scenario as an environment; without a name: all environments
  airtune train-agent air_comp_power            an agent, compared with every baseline
  airtune train-precoder icgnn                  a network that precodes
  airtune doctor                                what works on this machine

A scenario says only what differs from the defaults, and may start with `extends: quickstart`."""
)
def airtune() -> None:
    """Fine-tune models over an emulated radio access network.

    A scenario file describes the radio world (sites, UEs, channel, MAC) and what is learnt over it. `run` answers
    with accuracy, spectral efficiency, air time and energy, as tables, files and pictures.
    """


@app.command(epilog="Example: airtune run quickstart --set learning.rounds=3 --out runs/short")
def run(
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="a YAML file, or the name of a packaged scenario")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="run directory  [default: runs/NAME]")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="go on with an interrupted run")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")] = False,
) -> None:
    """Run a scenario, or go on with one that was interrupted."""
    if resume is not None and (scenario is not None or overrides or out is not None):
        raise UserError("--resume RUN_DIR goes on with that run's own scenario; leave out SCENARIO, --set and --out")
    if resume is None and scenario is None:
        raise UserError("expected a scenario, such as `airtune run quickstart`, or --resume RUN_DIR")
    from scenarios import run as runner
    from scenarios.load import load

    try:
        if resume is not None:
            finished = runner.resume(resume, quiet=quiet)
        else:
            finished = runner.run(load(scenario or "", overrides or ()), out=out, quiet=quiet)
    except KeyboardInterrupt as interrupt:
        remedy = f"; go on with `airtune run --resume {interrupt.args[0]}`" if interrupt.args else ""
        typer.echo(f"interrupted{remedy}", err=True)
        raise typer.Exit(130) from None
    if not quiet:
        _print_run(finished.path, asdict(finished.summary), finished.network)


@app.command(epilog="Example: airtune network umi_21 --duration 1 --set mac.scheduler=round_robin")
def network(
    scenario: ScenarioFile,
    duration: Annotated[float, typer.Option(metavar="S", min=1e-3, max=1e5, help="virtual time measured")] = 2.0,
    warmup: Annotated[float, typer.Option(metavar="S", min=0.0, max=1e5, help="virtual time before that")] = 0.5,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="directory  [default: runs/NAME-network]")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="write every transport block to slots.parquet")] = False,
    overrides: Overrides = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")] = False,
) -> None:
    """Run the radio network of a scenario alone.

    Channel, MAC, mobility and traffic.flows; a full buffer for every UE where the scenario has none. Prints spectral
    efficiency, delay, block errors, load and energy; Ctrl-C ends the measurement early.
    """
    from ran.report import print_network
    from scenarios.load import load
    from scenarios.network_run import run_network

    loaded = load(scenario, overrides or ())
    try:
        done = run_network(loaded, duration_s=duration, warmup_s=warmup, out=out, trace=trace, quiet=quiet)
    except KeyboardInterrupt:
        typer.echo("interrupted before the warm-up was over: nothing was measured", err=True)
        raise typer.Exit(130) from None
    if not quiet:
        print_network(loaded.name, done.measured.kpis)
        typer.echo(f"\nTables and figure are in {done.path}")
    if done.measured.interrupted:
        typer.echo(f"interrupted after {done.measured.kpis.duration_s:g} of {duration:g} s", err=True)
        raise typer.Exit(130)


@app.command(epilog="Example: airtune validate mine.yaml quickstart")
def validate(
    files: Annotated[list[str], typer.Argument(metavar="SCENARIO", help="YAML files or packaged names")],
    overrides: Overrides = None,
) -> None:
    """Check scenarios: every mistake, its line and the remedy."""
    from scenarios.load import load

    messages = []
    for given in files:
        try:
            loaded = load(given, overrides or ())
        except UserError as error:
            messages.append(str(error))
        else:
            typer.echo(f"ok: {given} ({loaded.summary()})")
    if messages:
        raise UserError("\n".join(messages))


@app.command(epilog="Example: airtune show quickstart --set channel=rayleigh > mine.yaml")
def show(scenario: ScenarioFile, overrides: Overrides = None) -> None:
    """Print a scenario with every default written out.

    Parents (`extends`) and --set are resolved; the output is a scenario again.
    """
    from scenarios.load import load
    from scenarios.show import to_yaml

    typer.echo(to_yaml(load(scenario, overrides or ())), nl=False)


@app.command("list", epilog="Examples: airtune list; airtune list scheduler; airtune list proportional_fair")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="a kind, a YAML path or a name", show_default=False)] = "",
) -> None:
    """List what a scenario can choose from.

    Packaged scenarios, and every component by kind with its parameters, their ranges and defaults.
    """
    from scenarios import listing
    from scenarios.catalogue import catalogue

    entries = catalogue(what)
    if not sys.stdout.isatty():
        typer.echo("\n".join(listing.plain(entries)))
        return
    from rich.console import Console

    console = Console()
    for table in listing.tables(entries):
        console.print(table, "")


@app.command(epilog="Example: airtune schema -o airtune.schema.json")
def schema(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="write to a file instead of stdout")
    ] = None,
) -> None:
    """Print the JSON Schema of scenarios, for editors."""
    from scenarios.json_schema import EDITOR_HINT, json_schema

    if out is None:
        typer.echo(json_schema())
        return
    try:
        out.write_text(json_schema() + "\n")
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    typer.echo(EDITOR_HINT.format(path=out))


@app.command(epilog="Example: airtune doctor")
def doctor() -> None:
    """Say what works on this machine and what to install."""
    from scenarios.doctor import diagnose

    findings = diagnose()
    for finding in findings:
        typer.echo(str(finding))
    broken = sum(finding.status == "broken" for finding in findings)
    if broken:
        raise UserError(f"{broken} thing(s) that AirTune needs are broken; the lines above say what to do")


@app.command(epilog="Example: airtune report runs/quickstart")
def report(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="what `airtune run` or `network` wrote", show_default=False)
    ],
) -> None:
    """Print the table of a run and redraw its figures."""
    from ran import report as reporter
    from ran.metrics.files import is_network_run
    from scenarios.results import load

    results = load(run_dir)
    if results.network is not None and is_network_run(run_dir):
        figure = reporter.report_network(run_dir)
        reporter.print_network(str(results.scenario["name"]), results.network)
        typer.echo(f"\n{figure}")
        return
    reporter.report(run_dir)
    _print_run(run_dir, results.summary, results.network)


@app.command(epilog="Example: airtune record quickstart -o air.h5 --duration 2")
def record(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="a YAML file, packaged name or run directory", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="the HDF5 file to write")],
    duration: Annotated[
        float | None, typer.Option(metavar="S", min=0.0, help="virtual time  [default: 10, or the whole run]")
    ] = None,
    gains_only: Annotated[bool, typer.Option("--gains-only", help="leave out the impulse responses")] = False,
    overrides: Overrides = None,
) -> None:
    """Write a scenario's channel to an HDF5 file.

    The channel `recorded` replays it bit for bit. A run directory is recorded to the end of its last round.
    """
    from scenarios.record import of_run_or_scenario
    from scenarios.record import record as write

    loaded, duration_s = of_run_or_scenario(scenario, overrides or (), duration)
    done = write(loaded, out, duration_s=duration_s, contents="gains" if gains_only else "paths")
    typer.echo(f"{out}: {done.intervals} intervals, {done.duration_s:g} s, {done.size_bytes / 1e6:.1f} MB")
    step_s = loaded.channel.coherence_interval_s
    typer.echo(f"Replay it with --set channel='{{name: recorded, file: {out}, coherence_interval_s: {step_s}}}'")


@app.command(epilog="Examples: airtune calibrate umi --carrier 6e9; airtune calibrate uma; airtune calibrate ppp")
def calibrate(
    what: Annotated[Literal["umi", "uma", "ppp"], typer.Argument(metavar="WHAT", help="umi, uma or ppp")],
    carrier: Annotated[float, typer.Option(metavar="HZ", min=0.5e9, max=100e9, help="umi, uma: carrier")] = 6e9,
    ues: Annotated[int, typer.Option(min=1, max=1_000_000, help="umi, uma: least number of UEs")] = 3420,
    spec_version: Annotated[
        Literal["19.2", "16.1"], typer.Option(help="umi, uma: of TR 38.901; the curves are of 2016, as 16.1")
    ] = "16.1",
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="curves  [default: $AIRTUNE_SHARED/data or ../shared/data]")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="picture (PNG)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the drops")] = 1,
) -> None:
    """Compare channels with published curves.

    umi and uma: coupling gain, SIR and SINR beside the companies of 3GPP's R1-165974. ppp: coverage of Poisson networks
    beside its closed forms. Prints a table and draws a picture; the exit code is 1 where a line fails.
    """
    from scenarios.calibrate import calibrate_large_scale, calibrate_ppp

    picture = out or Path(f"calibration_{what}.png")
    if what == "ppp":
        good = calibrate_ppp(picture, typer.echo, seed=seed)
    else:
        good = calibrate_large_scale(
            what, picture, typer.echo, carrier_hz=carrier, num_ues=ues, spec_version=spec_version,
            reference=reference, seed=seed,
        )  # fmt: skip
    typer.echo(str(picture))
    if not good:
        raise typer.Exit(1)


@app.command("map", epilog="Examples: airtune map munich; airtune map munich --walk=-145,-60,-325,28 -o walk.png")
def map_(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="PNG file to write  [default: NAME-map.png]")
    ] = None,
    walk: Annotated[
        str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="draw received power on a straight walk instead, m")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Draw path gain, SINR and best server over the ground.

    The SINR is with all cells transmitting; buildings of a ray-traced scene are grey.
    """
    from scenarios.load import load
    from scenarios.map import draw

    loaded = load(scenario, overrides or ())
    path = out or Path(f"{loaded.name}-{'walk' if walk else 'map'}.png")
    draw(loaded, path, walk)
    typer.echo(str(path))


@app.command(epilog="Examples: airtune bench slots; airtune bench methods --out runs/methods")
def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a benchmark, such as slots", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="methods: folder for its files  [default: runs/bench-methods]")
    ] = None,
) -> None:
    """Measure this machine, or compare learning methods.

    As JSON lines or a table. Each figure stands beside a reference: one measured in the same run, or for itu
    published requirements. An interrupted `methods` goes on where it was when started again with the same folder.
    """
    from scenarios.bench import run_benchmark

    run_benchmark(name, typer.echo, out)


def _print_run(path: Path, summary: Mapping[str, Any], network: NetworkKpis | None) -> None:
    from ran.report import print_summary

    print_summary(summary, network=network)
    typer.echo(f"\nTables, adapter and figures are in {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one message for a user's mistake, a traceback only for ours."""
    # Building the schemas makes a hundred thousand objects and next to no garbage.
    gc.set_threshold(50_000, 20, 20)
    try:
        app(args=arguments, prog_name="airtune")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""The `airtune` command. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from channel.errors import UserError

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
  airtune show quickstart > mine.yaml           a starting point with every parameter in it
  airtune validate mine.yaml                    says what is wrong with it, line by line
  airtune list scheduler                        what can be chosen, and its parameters
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
        _print_run(finished.path, asdict(finished.summary))


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
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="what `airtune run` wrote", show_default=False)],
) -> None:
    """Print the table of a run and redraw its figures."""
    from ran import report as reporter
    from scenarios.results import load

    results = load(run_dir)
    reporter.report(run_dir)
    _print_run(run_dir, results.summary)


@app.command(epilog="Example: airtune bench slots")
def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a benchmark, such as slots", show_default=False)],
) -> None:
    """Measure this machine, as JSON lines.

    Each figure stands beside a reference measured in the same run.
    """
    from scenarios.bench import run_benchmark

    run_benchmark(name, typer.echo)


def _print_run(path: Path, summary: Mapping[str, Any]) -> None:
    from ran.report import print_summary

    print_summary(summary)
    typer.echo(f"\nTables, adapter and figures are in {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one message for a user's mistake, a traceback only for ours."""
    try:
        app(args=arguments, prog_name="airtune")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

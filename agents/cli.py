"""The commands for agents, beside those of ``scenarios.cli``; the `airtune` command starts here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from channel.errors import UserError
from scenarios.bench.bench import add_benchmark
from scenarios.cli import app, main

if TYPE_CHECKING:
    from agents.evaluate import Score
    from agents.train import Task

__all__ = ["main"]

add_benchmark("envs", "agents.bench_envs", "steps per second of environments and of PPO, beside mobile-env's medium")
add_benchmark("precoding", "agents.bench_precoding", "time and spectral efficiency of ICGNN beside WMMSE and RZF")
add_benchmark(
    "generalisation", "agents.bench_generalisation", "precoding networks on sizes never trained on (CSV, figure)"
)
add_benchmark(
    "cell_free",
    "agents.bench_cell_free",
    "power allocation of cell-free networks beside max-min bisection (CSV, figure)",
)
add_benchmark(
    "precoded_rounds",
    "agents.bench_precoded_rounds",
    "time of a round, spectral efficiency and computing time of every precoder (CSV, figure; ten minutes)",
)

Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A=VALUE", help="a parameter of the environment; may be repeated"),
]


@app.command(
    epilog="""\b
Examples:
  airtune env                                            list them
  airtune env slicing                                    what an agent sees and does, a random policy's score
  airtune env quickstart --policy max_rate --film out.gif
  airtune env handover --set 'weights={qos: 1, utility: 0}' --policy load_balancing
  airtune env uav_offload --set users=fixed --set uavs=1 --policy q_learning
A reward or an observation of your own is one function: see `agents.batched.BatchedEnv`."""
)
def env(
    name: Annotated[
        str | None, typer.Argument(metavar="ENV|SCENARIO", help="an environment, or a scenario  [default: list them]")
    ] = None,
    policy: Annotated[
        str, typer.Option(metavar="RULE|FILE", help="a baseline, or an agent's policy.safetensors")
    ] = "random",
    episodes: Annotated[int, typer.Option(min=2, max=100_000, help="to play")] = 20,
    parameters: Parameters = None,
    film: Annotated[Path | None, typer.Option(metavar="FILE", help="GIF of the first episode")] = None,
) -> None:
    """Play episodes of an environment.

    Prints what an agent sees and does, and what a policy gets. A scenario becomes the environment slot_scheduling.
    """
    _need("gymnasium", "pettingzoo")
    from agents.play import describe, list_environments, play

    if name is None:
        list_environments(typer.echo)
        return
    environment = _environment(name, parameters)
    describe(environment, typer.echo)
    play(environment, policy, episodes, film, typer.echo)
    if Path(policy).is_file():
        _tell_use(environment.name, environment.model_dump(mode="json", exclude={"name"}), Path(policy))


@app.command(
    "train-agent",
    epilog="""\b
Examples:
  airtune train-agent air_comp_power                       PPO on 256 replicas, some minutes
  airtune train-agent split_point --algo maskable_ppo --envs 16 --steps 200000
  airtune train-agent slicing --resume runs/agent-slicing
  tensorboard --logdir runs                                while it goes on""",
)
def train_agent(
    name: Annotated[str, typer.Argument(metavar="ENV|SCENARIO", help="an environment, or a scenario")],
    algo: Annotated[
        str, typer.Option(help="batched_ppo (ours), or Stable-Baselines3's ppo, a2c, sac, dqn, maskable_ppo")
    ] = "batched_ppo",
    steps: Annotated[int, typer.Option(min=1, max=10_000_000_000, help="of the environment, all replicas")] = 1_000_000,
    envs: Annotated[int, typer.Option(min=1, max=100_000, help="replicas")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="of weights, actions and episodes")] = 0,
    episodes: Annotated[int, typer.Option(min=20, max=100_000, help="of the comparison at the end")] = 200,
    parameters: Parameters = None,
    settings: Annotated[
        list[str] | None, typer.Option("--with", metavar="A=VALUE", help="a setting of the algorithm; may be repeated")
    ] = None,
    device: Annotated[str, typer.Option(help="of the networks: cpu, cuda")] = "cpu",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="folder  [default: runs/agent-ENV]")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="go on with an interrupted training")] = None,
) -> None:
    """Train an agent and compare it with every baseline.

    Leaves TensorBoard logs, checkpoints, the policy, scores with 95 % confidence intervals, and figures. In a scenario,
    policy.safetensors schedules (mac.scheduler, by slot_scheduling), allots rounds (learning.participation, by
    round_allocation), cuts networks (learning.split.adaptation.rule, by split_point) or shares cells out among slices
    (mac.slice_shares, by slicing): {name: policy, path: FILE}. The last line printed is the command.
    """
    _need("gymnasium", "pettingzoo", "tensorboard")
    if algo != "batched_ppo":
        _need("stable_baselines3", "sb3_contrib")
    from dataclasses import replace

    from agents.train import Task
    from agents.training_screen import followed

    if resume is not None:
        task, folder = replace(Task.read(resume), steps=max(steps, Task.read(resume).steps)), resume
    else:
        environment = _environment(name, parameters)
        own = {key: value for key, value in environment.model_dump(mode="json").items() if key != "name"}
        task = Task(environment.name, own, algo, _pairs(settings), steps, envs, seed, episodes, device)
        folder = out or Path("runs") / f"agent-{environment.name}"
    try:
        scores = followed(task, folder, resume=resume is not None)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with `airtune train-agent {name} --resume {folder}`", err=True)
        raise typer.Exit(130) from None
    _print_scores(task, scores)
    typer.echo(f"\nPolicy, scores and figures are in {folder}")
    _tell_use(task.environment, task.parameters, folder / "policy.safetensors")


@app.command(
    "train-precoder",
    epilog="""\b
Examples:
  airtune train-precoder icgnn                    what is shipped, some minutes
  airtune train-precoder icgnn_fair               likewise, of utility: proportional_fair
  airtune train-precoder my.yaml --out runs/mine
  airtune train-precoder my.yaml --resume runs/mine
  airtune train-precoder cell_free                power of cell-free networks, some minutes
  airtune record munich --out munich.h5           ray-traced channels: recordings: [munich.h5], recorded_share: 0.3
then, in a scenario: mac: {precoder: {name: icgnn, weights: runs/mine/network.safetensors}}""",
)
def train_precoder(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="a YAML file, or packaged: icgnn, icgnn_fair, cell_free, wcgcn")
    ],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="folder  [default: runs/precoder-CONFIG]")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="go on with an interrupted training")] = None,
) -> None:
    """Train a network that precodes or allocates power.

    Without labels, on rates over mixed sizes. Leaves checkpoints, progress.csv (over RZF's, or plain power control's)
    and weights.
    """
    from agents.gnn.task import read_training
    from agents.training_screen import followed_precoder

    packaged = Path(__file__).parent / "gnn" / f"{config}.yaml"
    path = packaged if packaged.is_file() else Path(config)
    folder = resume or out or Path("runs") / f"precoder-{path.stem}"
    try:
        trained = followed_precoder(read_training(path), folder, resume=resume is not None)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with `airtune train-precoder {config} --resume {folder}`", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"The network is {trained}")


def _need(*modules: str) -> None:
    """Raise UserError where a package of the extra for agents is missing."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(f"missing {', '.join(missing)}; run `pip install 'airtune[agents]'`")


def _environment(name: str, parameters: list[str] | None) -> Any:
    """Return the environment of this name, or the one that a scenario becomes; raises UserError for neither."""
    from pydantic import ValidationError

    from agents.batched import made
    from agents.envs import ENVIRONMENTS
    from agents.registration import plain_name
    from scenarios.load import packaged

    given = _pairs(parameters)
    found = plain_name(name)
    if found not in ENVIRONMENTS.names():
        if not (name in packaged() or name.endswith((".yaml", ".yml"))):
            known = ", ".join(ENVIRONMENTS.names())
            raise UserError(f"{name!r} is neither an environment ({known}) nor a scenario; see `airtune env`")
        found, given = "slot_scheduling", {"scenario": name, **given}
    try:
        return made(found, given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(ENVIRONMENTS.get(found).model_fields)
        raise UserError(f"--set {where}: {first['msg']}; {found} has {known}") from None


def _pairs(texts: list[str] | None) -> dict[str, Any]:
    """Return ``a=value`` texts by name; values are YAML, and 1e-3 is a number."""
    import yaml

    found = dict[str, Any]()
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"expected NAME=VALUE, got {text!r}")
        try:
            found[name] = float(value) if "e" in value.lower() else yaml.safe_load(value)
        except ValueError:
            found[name] = yaml.safe_load(value)
    return found


def _tell_use(environment: str, parameters: dict[str, Any], policy: Path) -> None:
    """Print how a policy is used from now on."""
    from agents.batched import made

    command = made(environment, parameters).in_scenario(str(policy))
    if command:
        typer.echo(f"In a scenario: {command}")
    else:
        typer.echo(f"No scenario takes it; see it play: airtune env {environment} --policy {policy} --film out.gif")


def _print_scores(task: Task, scores: dict[str, Score]) -> None:
    from agents.play import score_table

    score_table(task.environment, scores, typer.echo)


if __name__ == "__main__":
    main()

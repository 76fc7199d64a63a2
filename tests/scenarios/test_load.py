"""From files, parents and overrides to a Scenario. Oracles: hand-merged results, and round trips (hypothesis)."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from channel.free_space import FreeSpace
from channel.layout import Disc, ExplicitPlacement
from channel.rayleigh import Rayleigh
from channel.tr38901 import Tr38901
from ran.learning.transport.ideal import Ideal
from ran.learning.transport.over_the_air import OverTheAir
from scenarios.errors import ScenarioError
from scenarios.load import load, packaged
from scenarios.rules import broken_rules
from scenarios.schema import LearningSettings, RadioSettings, Scenario
from scenarios.show import to_yaml


def write(folder: Path, **documents: str) -> Path:
    for name, text in documents.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(documents))}.yaml"


# Finding


@pytest.mark.parametrize("name", packaged())
def test_packaged_scenarios(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and by `scenarios/NAME.yaml` from any folder; each names and describes itself."""
    monkeypatch.chdir(tmp_path)
    scenario = load(name)
    assert scenario == load(f"scenarios/{name}.yaml") == load(packaged()[name])
    assert (scenario.name, bool(scenario.description)) == (name, True)


def test_quickstart_is_what_the_readme_says() -> None:
    quickstart = load("quickstart")
    assert (quickstart.radio.carrier_hz, quickstart.radio.bandwidth_hz) == (3.5e9, 20e6)
    assert (quickstart.radio.subcarrier_spacing_hz, quickstart.ues.count) == (30e3, 8)
    assert quickstart.summary() == "1 cell, 8 UEs, tr38901, fedavg over digital, 15 rounds"


@pytest.mark.parametrize(
    ("name", "overrides", "method"),
    [
        ("fedgkt_digits", (), "fedgkt"),
        ("split_digits", (), "splitfed_v2 split"),
        ("split_digits", ("learning.split.method=parallel", "learning.split.ahead=0"), "parallel split"),
        ("fedgkt_digits", ("learning.gkt=null",), "fedavg"),
    ],
)
def test_a_summary_names_the_method(name: str, overrides: tuple[str, ...], method: str) -> None:
    """Oracle: what the scenario sets; an algorithm that only lends its local steps is not the method."""
    assert f", {method} over " in load(name, overrides).summary()


def test_a_path_that_exists_wins_over_a_packaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    write(tmp_path / "scenarios", quickstart="name: mine")
    assert load("scenarios/quickstart.yaml").name == "mine"
    assert load("quickstart").name == "quickstart"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfname: walk\n")
    assert load(tmp_path / "x.yaml").name == "walk"


def test_numbers_in_engineering_notation(tmp_path: Path) -> None:
    """At the top, nested in lists, quoted, and where a whole number is wanted."""
    text = "radio: {carrier_hz: 3.6e9, bandwidth_hz: '40e6'}\nues: {count: 1e1}\nseed: 1e3\n"
    text += "sites: {layout: {name: explicit, positions_m: [[0, 0], [1e2, -2.5e1]]}}"
    scenario = load(write(tmp_path, x=text))
    assert (scenario.radio.carrier_hz, scenario.radio.bandwidth_hz) == (3.6e9, 40e6)
    assert (scenario.ues.count, scenario.seed) == (10, 1000)
    assert scenario.sites.layout.model_dump()["positions_m"] == ((0.0, 0.0), (100.0, -25.0))


# extends


def test_extends_merges_mappings_and_replaces_lists(tmp_path: Path) -> None:
    """Grandparent, parent and child; each file names its parent relative to itself."""
    (tmp_path / "deep").mkdir()
    write(
        tmp_path, base="radio: {threads: 2, carrier_hz: 2e9}\nlearning: {adapter: {name: lora, target_modules: [q, v]}}"
    )
    write(tmp_path / "deep", middle="extends: ../base.yaml\nradio: {carrier_hz: 2.6e9}\nues: {count: 3}")
    child = write(tmp_path, child="extends: deep/middle.yaml\nlearning: {adapter: {name: lora, target_modules: [k]}}")
    scenario = load(child)
    assert scenario.radio == RadioSettings(threads=2, carrier_hz=2.6e9)
    assert scenario.ues.count == 3
    assert scenario.learning.adapter.model_dump()["target_modules"] == ("k",)


def test_extends_a_packaged_scenario(tmp_path: Path) -> None:
    assert load(write(tmp_path, x="extends: quickstart\nname: mine")).model_copy(update={"name": "quickstart"}) == load(
        "quickstart"
    )


PARENT = "channel: {name: rayleigh, num_taps: 4, coherence_interval_s: 2e-3}"


@pytest.mark.parametrize(
    ("parent", "child", "channel"),
    [
        (PARENT, "channel: {name: rayleigh, num_taps: 5}", Rayleigh(num_taps=5, coherence_interval_s=2e-3)),
        (PARENT, "channel: {num_taps: 5}", Rayleigh(num_taps=5, coherence_interval_s=2e-3)),
        (PARENT, "channel: {name: free_space}", FreeSpace()),
        (PARENT, "channel: {name: free_space, coherence_interval_s: 1e-3}", FreeSpace(coherence_interval_s=1e-3)),
        (PARENT, "channel: rayleigh", Rayleigh()),
        ("channel: rayleigh", "channel: {num_taps: 5}", Rayleigh(num_taps=5)),
        ("channel: rayleigh", "name: x", Rayleigh()),
    ],
)
def test_extends_a_component(parent: str, child: str, channel: object, tmp_path: Path) -> None:
    """Parameters are inherited only by a component of the same name; a bare name starts from the defaults."""
    assert load(write(tmp_path, child=f"extends: parent.yaml\n{child}", parent=parent)).channel == channel


def test_a_problem_is_placed_in_the_file_that_has_it(tmp_path: Path) -> None:
    """The parent's mistake is the parent's, and an override that mends it makes it go away."""
    child = write(tmp_path, child="extends: parent.yaml\nues: {count: 0}", parent="name: x\nseed: -1")
    with pytest.raises(ScenarioError) as error:
        load(child)
    assert [(Path(problem.source).name, problem.line, problem.path) for problem in error.value.problems] == [
        ("child.yaml", 2, "ues.count"),
        ("parent.yaml", 2, "seed"),
    ]
    assert load(child, ["seed=1", "ues.count=2"]).ues.count == 2


# --set


@pytest.mark.parametrize(
    ("text", "overrides", "channel"),
    [
        ("name: x", ["channel=free_space"], FreeSpace()),
        ("name: x", ["channel.scenario=uma"], Tr38901(scenario="uma")),
        ("name: x", ["channel.name=rayleigh"], Rayleigh()),
        ("channel: rayleigh", ["channel.num_taps=3"], Rayleigh(num_taps=3)),
        (PARENT, ["channel.num_taps=3"], Rayleigh(num_taps=3, coherence_interval_s=2e-3)),
        (PARENT, ["channel.name=tr38901", "channel.scenario=uma"], Tr38901(scenario="uma")),
        (PARENT, ["channel=rayleigh"], Rayleigh()),
        (PARENT, ["channel={name: free_space, coherence_interval_s: 1}"], FreeSpace(coherence_interval_s=1.0)),
        (PARENT, ["channel=free_space", "channel.coherence_interval_s=1"], FreeSpace(coherence_interval_s=1.0)),
        (PARENT, ["channel.num_taps=3", "channel.num_taps=7"], Rayleigh(num_taps=7, coherence_interval_s=2e-3)),
    ],
)
def test_overrides_of_a_component(text: str, overrides: Sequence[str], channel: object, tmp_path: Path) -> None:
    """Whether the file names the component in full, by its bare name, or leaves it to its default."""
    assert load(write(tmp_path, x=text), overrides).channel == channel


def test_overrides_of_sections_and_lists() -> None:
    scenario = load(
        "quickstart",
        ["radio.threads=2", "ues={count: 2}", "ues.placement={name: explicit, positions_m: [[40, 0], [0, 50]]}",
         "description='a = b'", "learning.algorithm.local_steps=4", "learning.algorithm.local_steps="],
    )  # fmt: skip
    assert scenario.radio.threads == 2
    assert scenario.ues.tx_power_dbm == 23
    assert scenario.ues.placement == ExplicitPlacement(positions_m=((40, 0), (0, 50)))
    assert scenario.description == "a = b"
    assert scenario.learning.algorithm.local_steps is None


def test_overrides_keep_the_default_components_own_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that is not the bare component must survive an override of another of its parameters."""
    field = Scenario.model_fields["channel"]
    monkeypatch.setattr(field, "default", Tr38901(scenario="uma"))
    assert load("quickstart", ["channel={name: tr38901}"]).channel == Tr38901(scenario="umi")
    monkeypatch.setattr("scenarios.load._text", lambda path, shown_as: "name: x")
    assert load("quickstart", ["channel.los='yes'"]).channel == Tr38901(scenario="uma", los="yes")


# Rules and problems


def test_rules_hold_for_scenarios_made_in_python() -> None:
    with pytest.raises(ValidationError, match=r"radio.tdd_pattern: 'DDDD' has no uplink slot \(U\)"):
        Scenario(radio=RadioSettings(tdd_pattern="DDDD"))


def test_ideal_transport_needs_no_uplink(tmp_path: Path) -> None:
    assert (
        load(write(tmp_path, x="radio: {tdd_pattern: D}\nlearning: {transport: ideal}")).learning.transport == Ideal()
    )


@pytest.mark.parametrize(
    ("key", "name", "text"),
    [
        ("algorithm", "flora", "over_the_air cannot deliver, which flora needs; choose digital or ideal"),
        ("aggregator", "median", "median wants to see every update, and over_the_air brings only their sum; set it to"),
    ],
)
def test_sums_need_a_transport_that_brings_updates(key: str, name: str, text: str) -> None:
    """Oracle: the air brings sums alone; what needs single updates says so at its place."""
    scenario = Scenario()
    part = LearningSettings.model_validate({key: name})
    learning = scenario.learning.model_copy(update={"transport": OverTheAir(), key: getattr(part, key)})
    [(where, found)] = list(broken_rules(scenario.model_copy(update={"learning": learning})))
    assert where == ("learning", "transport" if key == "algorithm" else key)
    assert found.startswith(text)


def test_components_report_their_own_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that starts with a field in backticks is placed at the field, any other at the component."""
    monkeypatch.setattr(Disc, "problems", lambda self: ["`min_distance_m`: too near", "`here` is fog", "`x`: dark"])
    with pytest.raises(ScenarioError) as error:
        load("quickstart", ["ues.placement.min_distance_m=3"])
    assert [(problem.source, problem.path, problem.text) for problem in error.value.problems] == [
        ("--set ues.placement.min_distance_m=3", "ues.placement", "`here` is fog"),
        ("--set ues.placement.min_distance_m=3", "ues.placement", "`x`: dark"),
        ("--set ues.placement.min_distance_m=3", "ues.placement.min_distance_m", "too near"),
    ]


# Round trip

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)
OVERRIDES = {
    "name": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    "description": WORDS,
    "seed": st.integers(0, 2**32 - 1),
    "radio.carrier_hz": st.floats(0.5e9, 24e9),
    "radio.bandwidth_hz": st.sampled_from([5e6, 20e6, 100e6]),
    "ues.count": st.integers(1, 100),
    "ues.height_m": st.floats(0.5, 500),
    "ues.device.kappa": st.floats(1e-32, 1e-28),
    "sites.gnb.antenna.pattern": st.sampled_from(["38.901", "omni"]),
    "sites.layout": st.just({"name": "explicit", "positions_m": [[0.0, 1e-7], [12345678.9e-3, -1e4]]}),
    "channel": st.sampled_from(["free_space", "rayleigh", {"name": "tr38901", "los": "no", "spec_version": "16.1"}]),
    "channel.coherence_interval_s": st.floats(1e-6, 10),
    "learning.adapter.target_modules": st.lists(WORDS, max_size=3),
    "learning.algorithm.local_steps": st.none() | st.integers(1, 1000),
    "learning.partition": st.sampled_from(["iid", {"name": "dirichlet", "alpha": 1e-9}]),
}


@given(st.fixed_dictionaries({}, optional=OVERRIDES))
@example({"learning.adapter.target_modules": ["1e3", "yes", "3.5e9", "0x1F", "~", "12", ""], "description": "1e3"})
@settings(max_examples=40, deadline=None)
def test_what_show_prints_is_the_same_scenario(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    """Also for a plain YAML 1.1 reader, which takes neither 3.5e9 for a number nor `no` for a text."""
    sets = [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in values.items()]
    scenario = load("quickstart", sets)
    text = to_yaml(scenario)
    path = tmp_path_factory.mktemp("show", numbered=True) / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    assert load(path) == scenario
    assert to_yaml(load(path)) == text
    assert Scenario.model_validate(yaml.safe_load(text)) == scenario
    assert yaml.safe_load(text)["radio"]["carrier_hz"] == scenario.radio.carrier_hz

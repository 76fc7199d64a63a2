"""Whatever a user gets wrong: one message with file, line, YAML path, expectation and nearest choice; exit code 2.

Oracle: the files in ``bad/`` say themselves, in their first comments, what the message must hold (``# expect:``,
each a literal fragment), which line it must name (``# line:``) and how many problems there are (``# problems:``).
"""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel.errors import UserError
from channel.registry import Registry
from scenarios.cli import main
from scenarios.fields import places
from scenarios.load import ROOT, load, packaged

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.yaml"))
JARGON = ("Traceback", "pydantic", "Input should", "validation error", "https://errors", "BaseModel", "ValueError")


def headers(file: Path, key: str) -> list[str]:
    text = file.read_bytes().decode("utf-8", errors="replace")
    return re.findall(rf"^# {key}: (.*)$", text, re.MULTILINE)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one message with which a command refuses; it must print nothing else and exit with 2."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    printed = capsys.readouterr()
    assert exit_.value.code == 2, printed.err
    assert printed.out == ""
    assert not [word for word in JARGON if word in printed.err], printed.err
    return printed.err.removesuffix("\n")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_message_of_a_bad_file(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    message = refused(["validate", file.name], capsys)
    for fragment in headers(file, "expect"):
        assert fragment in message
    for line in headers(file, "line"):
        assert f"{file.name}:{line}: " in message
    [problems] = headers(file, "problems") or ["1"]
    assert len(message.split("\n")) == int(problems), message


def test_every_bad_file_says_what_it_expects() -> None:
    """A file without a header would be tested for nothing but its exit code."""
    assert len(FILES) >= 40
    assert [file.name for file in FILES if not headers(file, "expect")] == []


def test_an_unknown_name_of_every_registry_is_covered() -> None:
    """Oracle: the schema itself lists the registries; a kind added tomorrow needs its bad file."""
    registries = [place.registry for _, place in places(ROOT) if isinstance(place.registry, Registry)]
    missing = {f"unknown_{registry.kind.replace(' ', '_')}" for registry in registries} - {file.stem for file in FILES}
    assert missing == set()


def test_an_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.yaml"
    file.touch()
    message = refused(["validate", str(file)], capsys)
    assert message.startswith(f"{file}:1: expected a mapping with some of the keys name,")
    assert message.endswith("got an empty file")


def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, a folder, a name too long for the system, and a name that is nearly a packaged one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk.yaml").write_text("name: walk")
    cases = {
        str(tmp_path / "wlak.yaml"): f"no such scenario file; did you mean '{tmp_path / 'walk.yaml'}'?",
        str(tmp_path): "a folder; expected a scenario file (.yaml)",
        f"{'a' * 5000}.yaml": "cannot be read: File name too long",
        "quickstrat": "no such scenario file; did you mean 'quickstart'?",
        "scenarios/quickstrat.yaml": "no such scenario file; did you mean 'quickstart'?",
        "quick\0start.yaml": "no such scenario file",
    }
    for name, expected in cases.items():
        message = refused(["validate", name], capsys)
        assert message.startswith(name[:50])
        assert expected in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("learning.rounds", "expected a.b.c=value, such as `--set learning.rounds=3`"),
        ("=3", "expected a.b.c=value"),
        ("ues..count=3", "expected a.b.c=value"),
        ("ues.count=", "ues.count: expected a whole number, 1 to 100000 (number of UEs), got nothing"),
        ("ues.count=-8", "ues.count: expected a whole number, 1 to 100000 (number of UEs), got -8; did you mean 8?"),
        ("ues.coutn=8", "ues.coutn: unknown key; did you mean 'count'?"),
        ("radoi.carrier_hz=3.5e9", "radoi: unknown key; did you mean 'radio'?"),
        ("radio.carrier_hz=3.5", "radio.carrier_hz: 3.5 is not a carrier frequency in Hz"),
        ("radio.carrier_hz.ghz=3.5", "radio.carrier_hz: expected a number (a carrier frequency, Hz), got a mapping"),
        ("radio=3", "radio: expected a mapping with some of the keys carrier_hz,"),
        ("radio.tdd_pattern=[", "radio.tdd_pattern: invalid YAML: "),
        ("radio.tdd_pattern=DDDD", "radio.tdd_pattern: 'DDDD' has no uplink slot (U)"),
        ("channel=tr38.901", "channel: unknown channel model 'tr38.901'; did you mean 'tr38901'?"),
        ("channel.scenario=urban", "channel.scenario: expected 'umi', 'uma', 'rma', 'inh' or 'inf'"),
        ("channel.num_taps=4", "channel.num_taps: unknown key"),
        ("extends=smoke", "extends: unknown key"),
    ],
)
def test_message_of_a_bad_override(override: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Oracle: the message names the override itself instead of a line."""
    message = refused(["validate", "quickstart", "--set", override], capsys)
    assert message.startswith(f"--set {override}: {expected}")
    assert "\n" not in message


def test_all_files_are_checked_and_all_mistakes_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Good files are answered on stdout, bad ones on stderr, in one go."""
    with pytest.raises(SystemExit) as exit_:
        main(["validate", "smoke", str(BAD / "count_zero.yaml"), "quickstart", str(BAD / "key_ues.yaml")])
    printed = capsys.readouterr()
    assert exit_.value.code == 2
    assert [line.split(" (")[0] for line in printed.out.splitlines()] == ["ok: smoke", "ok: quickstart"]
    assert [line.split(": ")[1] for line in printed.err.splitlines()] == ["learning.rounds", "ues.cuont"]


SNIPPETS = st.sampled_from(
    ["[", "]", "{", "}", ":", "\n", "- ", "&a ", "*a", "!!set ", "? ", "|", "'", '"', "\\", "#", "%", "<<: ", "\t",
     "\x00", "\ud800", "null", "true", ".nan", "1e400", "name", "extends: ", "0x", "\ufeff", '"\\ud800"', "channel: "]
)  # fmt: skip
QUICKSTART = packaged()["quickstart"].read_text()


@given(st.lists(st.tuples(st.integers(0, len(QUICKSTART)), st.integers(0, 9), SNIPPETS), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused(edits: list[tuple[int, int, str]]) -> None:
    """Property: whatever is cut out of the quickstart and put in its place, nothing but UserError is ever raised."""
    text = QUICKSTART
    for start, length, snippet in edits:
        text = text[:start] + snippet + text[start + length :]
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(UserError):
        patch.setattr("scenarios.load._text", lambda path, shown_as: text)
        load("smoke")


@given(st.sampled_from(["channel", "ues.count", "name", "learning.task.train", ""]), st.text(max_size=8) | SNIPPETS)
@settings(max_examples=100, deadline=None)
def test_any_override_is_taken_or_refused(path: str, value: str) -> None:
    """Property: as above, for `--set`."""
    with contextlib.suppress(UserError):
        load("ideal", [f"{path}={value}"])

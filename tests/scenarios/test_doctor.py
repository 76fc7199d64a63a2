"""`airtune doctor`. Oracles: machines and installations made up here."""

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scenarios import doctor
from scenarios.cli import main


def test_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing required is broken where the tests run, so it exits with 0; extras may be absent."""
    with pytest.raises(SystemExit) as exit_:
        main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert not exit_.value.code
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    for word in ("Python 3", "torch 2", "sionna 2", "numba ", "extra agents", "CUDA", "ray tracing", "cache of"):
        assert any(word in line for line in lines), word


def test_something_broken_exits_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        doctor, "diagnose", lambda: [doctor.Finding("broken", "torch: missing; run `pip install torch`")]
    )
    with pytest.raises(SystemExit) as exit_:
        main(["doctor"])
    printed = capsys.readouterr()
    assert exit_.value.code == 2
    assert printed.out == "broken  torch: missing; run `pip install torch`\n"
    assert printed.err.startswith("1 thing(s) that AirTune needs are broken")


def test_requirements() -> None:
    """Missing, too old, not for this platform; an extra complete and an extra incomplete."""
    lines = (
        "pytest>=1", "no-such-thing==1.0", "pytest<1", "other; sys_platform == 'nowhere'",
        "pytest>=2; extra == 'whole'", "pytest; extra == 'part'", "no-such-thing; extra == 'part'",
    )  # fmt: skip
    found = list(doctor.requirements(Requirement(line) for line in lines))
    assert [finding.status for finding in found] == ["ok", "broken", "broken", "ok", "note"]
    assert found[1].text == "no-such-thing: missing; run `pip install 'no-such-thing==1.0'`"
    assert found[2].text == f"pytest: {pytest.__version__}; run `pip install 'pytest<1'`"
    assert found[4].text == "extra part: missing no-such-thing; run `pip install 'airtune[part]'` if you want it"


def test_a_stranger_called_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the same name, earlier on the path, is what Python would import."""
    here = Path(doctor.__file__).parent.parent
    assert [finding.status for finding in doctor.packages(here)] == ["ok"]
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    [finding] = doctor.packages(here)
    assert finding.status == "broken"
    assert finding.text.startswith(f"`import agents` finds {tmp_path / 'agents'}, not AirTune's")


OLD = Path("/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1")
OLDER = Path("/usr/lib/llvm-14/lib/libLLVM.so")
GOOD = Path("/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1")


def test_llvm_of_the_machine() -> None:
    """Known: 14 and 15 break Dr.Jit, 19 works; without any, everything but ray tracing works."""
    none, old, good, both = (doctor.llvm({}, found) for found in ([], [OLD, OLDER], [GOOD], [GOOD, OLD, OLDER]))
    assert (none.status, old.status, good.status, both.status) == ("note", "note", "ok", "ok")
    assert none.text == "ray tracing: no LLVM; install libllvm19 (`apt install libllvm19`); nothing else needs it"
    assert "only LLVM 14, 15, which breaks Dr.Jit; install libllvm19" in old.text
    assert good.text == f"ray tracing: LLVM 19 at {GOOD}"
    assert both.text.endswith(f"LLVM 14, 15 is here too and breaks Dr.Jit, so set DRJIT_LIBLLVM_PATH={GOOD}")


def test_llvm_that_the_user_chose(tmp_path: Path) -> None:
    """The environment variable decides, links are followed, and a bad choice is named with a better one."""
    old, good = tmp_path / "libLLVM-15.so.1", tmp_path / "libLLVM.so.19.1"
    link = tmp_path / "libLLVM.so"
    old.touch()
    good.touch()
    link.symlink_to(old)
    for chosen in (old, link):
        finding = doctor.llvm({"DRJIT_LIBLLVM_PATH": str(chosen)}, [good])
        assert finding.status == "note"
        assert f"{chosen} is LLVM 15, which breaks Dr.Jit" in finding.text
        assert finding.text.endswith(f"set DRJIT_LIBLLVM_PATH={good}")
    assert doctor.llvm({"DRJIT_LIBLLVM_PATH": str(good)}, [old]).status == "ok"
    missing = doctor.llvm({"DRJIT_LIBLLVM_PATH": str(tmp_path / "none.so")}, [])
    assert "does not exist; install libllvm19" in missing.text


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Asked of the nearest folder that exists. Root may write everywhere, so access itself is made up."""
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: Path(path) != tmp_path)
    environ = {"HF_HOME": str(tmp_path / "not" / "yet"), "NUMBA_CACHE_DIR": str(tmp_path.parent)}
    compiled, hub = doctor._caches(tmp_path, environ)
    assert (compiled.status, hub.status) == ("ok", "note")
    assert hub.text.endswith("cannot be written; set HF_HOME to a folder that can")

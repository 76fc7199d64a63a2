"""The commands for agents: what they print and refuse."""

from __future__ import annotations

import sys

import pytest

from agents.cli import main


def test_env_tells_what_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """Property: policies are listed, and a reward chosen by weights is the one that counts."""
    settings = ("steps=3", "users=fixed", "uavs=1", "weights={qos: 2}")
    with pytest.raises(SystemExit) as exit_:
        main(["env", "uav_offload", "--episodes", "2", *(part for each in settings for part in ("--set", each))])
    printed = capsys.readouterr().out
    assert not exit_.value.code
    assert "gets   qos (1), weight 2:" in printed
    assert "Policies: random, hover, greedy, particle_swarm, sarsa, q_learning, oracle, bound; or a policy" in printed


@pytest.mark.parametrize("command", [["env"], ["train-agent", "slicing"]])
def test_a_missing_extra_is_one_sentence(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Property: without gymnasium a user is told what to install, with exit code 2 and no traceback."""
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "missing gymnasium; run `pip install 'airtune[agents]'`\n"

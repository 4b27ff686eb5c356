"""Every command that README and docs/ showed for train.py in version 0.1 is understood today.

They stand in words_of_e4f38a4.txt; the commands that go on from a run are tested where README shows them.
"""

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from whole_command import ROOT

from workbench.config.checks import check_config
from workbench.config.composition import register

COMMANDS = (ROOT / "tests" / "words_of_e4f38a4.txt").read_text(encoding="utf-8").splitlines()
ONE_OF = {"interval": "0.001", "tag": "0.001", "range": "32"}  # a value that a search might try


def combinations(command: str) -> Iterator[list[str]]:
    """Give the words of each run that a command means."""
    words = [word for word in shlex.split(command) if word != "-m"]
    is_sweep = "-m" in command.split()
    choices = []
    for word in words:
        key, _, value = word.partition("=")
        search = value.partition("(")[0]
        if search in ONE_OF:
            choices.append([f"{key}={ONE_OF[search]}"])
        else:
            choices.append([f"{key}={one}" for one in value.split(",")] if is_sweep else [word])
    yield from (list(chosen) for chosen in itertools.product(*choices))


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_then_is_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET", str(tmp_path))
    register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        for words in combinations(command):
            check_config(compose("config", overrides=words))

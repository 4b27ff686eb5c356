"""Fixtures of the tests of whole commands."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from whole_command import ROOT, Train


@pytest.fixture
def train_apart(tmp_path: Path) -> Train:
    """Run src/train.py as a user does, with its outputs in a folder of the test."""

    def run(
        *words: str, cwd: Path = ROOT, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "src/train.py"), f"outputs={tmp_path / 'outputs'}", *words]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", **variables}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def train(outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """Run src/train.py in this process, which has loaded its libraries already."""

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", [str(ROOT / "src/train.py"), f"outputs={outputs}", *words])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert not check or code == 0, said.out + said.err
        return subprocess.CompletedProcess(sys.argv, code, said.out, said.err)

    return run


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Where `train` keeps its runs."""
    return tmp_path / "outputs"

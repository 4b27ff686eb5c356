"""Fixtures of the tests of whole commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_command import ROOT, Train


@pytest.fixture
def train(tmp_path: Path) -> Train:
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
def outputs(tmp_path: Path) -> Path:
    """Where `train` keeps its runs."""
    return tmp_path / "outputs"

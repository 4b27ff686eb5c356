"""Fixtures of the tests of sweeps."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no sweep of a test see the user's storage, nor tell pytest's own words as its command."""
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(sys, "argv", ["train.py", "hparams.learning_rate=1e-3,1e-2", "-m"])

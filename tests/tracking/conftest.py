"""What the tests of tracking share: a run folder before its first step, and its description."""

import warnings
from pathlib import Path

import pytest

from patchsets.tracking.tracker import RunDescription


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder as training has it before the first step."""
    folder = tmp_path / "2026-11-21_10-00-00_abcd"
    (folder / "figures").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").write_text("hparams:\n  batch_size: 64\n", encoding="utf-8")
    return folder


@pytest.fixture
def description(folder: Path) -> RunDescription:
    """A run called like its folder, with plain hyper-parameters of every kind."""
    hparams = {"batch_size": 64, "learning_rate": 0.1, "optimizer": "SGD", "shuffle": True, "schedule": None}
    return RunDescription(folder, "first", folder.name, {"author": "me"}, hparams, 1_800_000_000.0)


@pytest.fixture(scope="session")
def neptune_imported() -> None:
    """Import Neptune's client: it and its dependencies warn then, whatever filters say."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        import neptune  # noqa: F401

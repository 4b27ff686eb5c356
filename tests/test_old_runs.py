"""Run folders that version 0.1 made (commit e4f38a4) go on, answer, and are sent as if made today."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import start
from PIL import Image
from whole_command import ROOT

from workbench.config.checks import check_config
from workbench.config.choose import read_config
from workbench.models.load import load_model, with_model
from workbench.portable.model import load_model as load_portable
from workbench.portable.pixels import as_rgb

KEPT = ROOT / "tests" / "runs_of_e4f38a4"
RUNS = sorted(path.name for path in KEPT.iterdir())
SAME = 1e-5  # relative: printed to six digits


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run folder; its last checkpoint was the same file as its best."""
    folder = tmp_path / "old" / request.param
    if request.param == "colours":
        monkeypatch.setenv("DATASET", str(make_colours(tmp_path / "images")))
    shutil.copytree(KEPT / request.param, folder)
    shutil.copy(folder / "checkpoints/best.ckpt", folder / "checkpoints/last.ckpt")
    return folder


def make_colours(root: Path) -> Path:
    """Write the images that the run `colours` was made with: two classes that differ in their red."""
    random = np.random.default_rng(5)
    for number in range(120):
        pixels = random.integers(0, 200, (17 + number % 5, 20, 3), dtype=np.uint8)
        pixels[..., 0] += np.uint8(50 * (number % 2))
        path = root / ("blue", "red")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


every_run = pytest.mark.parametrize("old", RUNS, indirect=True)


def predictions(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_same(found: list[dict[str, str]], kept: list[dict[str, str]]) -> None:
    """Compare the rows that were kept, numbers up to their last printed digits."""
    assert len(found) >= len(kept) > 50
    for one, other in zip(found, kept, strict=False):
        assert one.keys() == other.keys()
        for name, value in other.items():
            try:
                assert float(one[name]) == pytest.approx(float(value), rel=SAME, abs=1e-6), name
            except ValueError:
                assert one[name] == value, name


@every_run
def test_it_resumes_and_predicts_the_same(old: Path) -> None:
    kept = predictions(old / "predictions.csv")
    start(f"resume={old}", "save_model=false", "loggers=[]")
    assert_same(predictions(old / "predictions.csv"), kept)


@every_run
def test_its_configuration_reads_nothing_that_is_gone(old: Path) -> None:
    config = read_config(old)
    check_config(config)
    assert "width" not in config.hparams or old.name in ("sets", "colours")
    assert "score_map" not in config.hparams or config.task.score_map == config.hparams.score_map


@every_run
def test_its_model_answers_as_it_did(old: Path) -> None:
    kept = [row for row in predictions(old / "predictions.csv") if row.get("split", "test") == "test"]
    task = load_model(old)
    task.preprocessing_train()
    model = load_portable(with_model(old))
    for row in kept[:40]:
        images = as_rgb(task.data.image("test", int(row["index"])))[None]
        (answer,) = model.rows(model(images))
        if model.kind == "anomaly":
            assert answer["score"] == pytest.approx(float(row["score"]), rel=1e-4)
            assert ("anomaly" if answer["is_anomaly"] else "good") == row["decision"]
        else:
            assert answer["class"] == row["predicted"]
            assert answer["probability"] == pytest.approx(
                float(row[f"probability of {answer['class']}"]), rel=1e-4
            )


@every_run
def test_it_repeats(old: Path, tmp_path: Path) -> None:
    metrics = start(
        f"repeat={old}", "hparams.max_epochs=1", "save_model=false", "loggers=[]", f"outputs={tmp_path}/new"
    )
    assert any(name.startswith("test/") for name in metrics)


@pytest.mark.parametrize("old", ["sets"], indirect=True)
def test_its_own_trackers_and_mlflow_take_it(old: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    for words in ([], ["loggers=mlflow"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "src/sync.py"), str(old), *words],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((old / "tensorboard").glob("events*")) and (old / "csv" / "epochs.csv").is_file()
    registered = subprocess.run(
        [sys.executable, str(ROOT / "src/register.py"), f"run={old}", "name=old", "alias=first"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "models:/old/1" in registered.stdout, registered.stdout + registered.stderr


@pytest.mark.parametrize("old", ["autoencoder"], indirect=True)
def test_it_is_exported(old: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "src/export.py"), f"run={old}", f"output={tmp_path}/model.onnx"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "model.onnx").is_file(), done.stdout + done.stderr

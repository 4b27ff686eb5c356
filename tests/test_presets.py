"""Every preset of the configuration runs in debug mode and leaves only what debug promises."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from in_process import DETECTORS, read_by, start, words_for
from whole_command import ROOT, the_run

from workbench.config import composition, schema
from workbench.run.checkpoints import load_weights
from workbench.train.training import build_task

OPTIONS = {
    group: sorted(path.stem for path in (ROOT / "config" / group).glob("*.yaml")) for group in schema.GROUPS
}
PRESETS = [f"{group}={option}" for group in ("data", "model", "task", "loggers") for option in OPTIONS[group]]


@pytest.fixture
def debug_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder outputs go to, with every variable a preset may look at pointing below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    composition.register()
    return tmp_path


@pytest.mark.parametrize("preset", PRESETS)
def test_debug_runs_every_preset_and_keeps_nothing(
    preset: str, debug_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = debug_run / "outputs"
    words = words_for(preset, debug_run, monkeypatch)
    metrics = start(*words, "debug=True", "experiment_name=__debug__", f"outputs={outputs}")
    assert "test/loss" in metrics
    written = {path.name for path in debug_run.rglob("*") if path.is_file()}
    assert "summary.json" in written
    assert not {name for name in written if name.endswith((".ckpt", ".db")) or "tfevents" in name}
    assert [path.name for path in outputs.iterdir()] == ["__debug__"]
    assert "debug:" in next(outputs.glob("__debug__/*/train.log")).read_text()


@pytest.mark.parametrize("model", sorted({*OPTIONS["model"]} - {*DETECTORS}))
def test_weights_of_every_model_come_back_from_the_run_folder(
    model: str, debug_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_for(f"model={model}", debug_run, monkeypatch)
    small = ["hparams.max_epochs=1", "hparams.width=8", "hparams.depth=1", "hparams.heads=2"]
    words = [*read_by(words, small), "loggers=[]"]
    start(*words, f"outputs={debug_run}", "trainer.log_every_n_steps=5", "save_model=false")
    folder = the_run(debug_run)
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        task = build_task(compose("config", overrides=words))
    task.preprocessing_train()
    task.initial_weights = load_weights(folder)
    task.configure_model()
    batch = task.data.make_batch(next(iter(task.data.test_dataloader())), training=False)
    with torch.no_grad():
        probability = task.eval().network(batch.input).softmax(dim=1)
    columns = range(3, 3 + probability.shape[1])
    written = np.loadtxt(folder / "predictions.csv", delimiter=",", skiprows=1, usecols=columns)
    np.testing.assert_allclose(written[: len(probability)], probability.numpy(), atol=1e-5)


def test_debug_does_not_touch_the_environment(debug_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    quiet = "+trainer.enable_progress_bar=false"
    start("debug=True", f"outputs={debug_run}", "loggers=[mlflow,neptune]", quiet)
    assert {name for name in os.environ if os.environ.get(name) != before.get(name)} <= {
        "PL_GLOBAL_SEED",
        "PL_SEED_WORKERS",
    }
    assert "step/s" not in capsys.readouterr().err  # the bar was switched off

"""The memory and the segmentation of defects from their commands to what their run folders hold."""

from pathlib import Path

import pytest
from in_process import start
from test_tasks import interrupt_at, rows, run
from whole_command import the_run

from patchsets.task.anomaly import AnomalyTask
from workbench.common.errors import ConfigError

MEMORY = ["model.size=256", "loggers=[]"]


def newest(outputs: Path) -> Path:
    return the_run(outputs, "discs")


def test_a_memory_is_filled_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnomalyTask, "report", lambda *_: None)
    folder, metrics = run(tmp_path, "patch_memory", *MEMORY, "hparams.max_epochs=3")
    assert metrics["test/auroc"] > 0.95 > metrics["test/untrained_auroc"]
    assert "3,072 patches of 20 features" in (folder / "train.log").read_text()
    assert sum("val/loss" in row for row in rows(folder)) == 1
    assert (folder / "model" / "model.pt2").is_file()
    again = start(f"resume={folder}", "save_model=false")
    names = [name for name in metrics if name.startswith("test/") and "milliseconds" not in name]
    assert [again[name] for name in names] == [metrics[name] for name in names]
    assert sum("val/loss" in row for row in rows(folder)) == 1


def test_a_memory_stopped_too_early_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnomalyTask, "report", lambda *_: None)
    words = ["patch_memory", *MEMORY, "model.distance=mahalanobis", "save_model=false"]
    whole, _ = run(tmp_path / "whole", *words)
    with monkeypatch.context() as patched:
        interrupt_at(0, patched)
        with pytest.raises(SystemExit):
            run(tmp_path / "stopped", *words)
    stopped = newest(tmp_path / "stopped")
    start(f"resume={stopped}")
    assert rows(stopped) == rows(whole)


def test_a_memory_wants_one_device(tmp_path: Path) -> None:
    words = ["trainer.devices=2", "trainer.accelerator=cpu"]
    with pytest.raises(ConfigError, match=r"a memory is filled on one device; take trainer\.devices=1"):
        run(tmp_path, "patch_memory", *MEMORY, *words)


def test_segmentation_learns_and_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnomalyTask, "report", lambda *_: None)
    words = ["defect_segmentation", "model.channels=[8,16]", "hparams.max_epochs=20", "hparams.batch_size=8"]
    whole, metrics = run(tmp_path / "whole", *words, "save_model=false")
    assert metrics["test/auroc"] > max(0.8, metrics["test/untrained_auroc"])
    with monkeypatch.context() as patched:
        interrupt_at(5, patched)
        with pytest.raises(SystemExit):
            run(tmp_path / "stopped", *words, "save_model=false")
    stopped = newest(tmp_path / "stopped")
    start(f"resume={stopped}")
    assert rows(stopped) == rows(whole)


def test_a_network_that_learns_otherwise_is_refused(tmp_path: Path) -> None:
    for task, missing in (("patch_memory", "expect, add, fit"), ("defect_segmentation", "defect_loss")):
        with pytest.raises(ConfigError, match=f"needs a network with {missing}, and Autoencoder has none"):
            run(tmp_path, task, "model=autoencoder")

"""hparams.keep: which weights are tested and used; what is said where none can be chosen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import make_feature_bags, start
from whole_command import QUICK

from workbench.common.errors import ConfigError
from workbench.run.metrics_file import read_metrics
from workbench.run.trial import best_values

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's, of workers and the like
FEW = ["+trainer.limit_train_batches=2", "+trainer.limit_test_batches=1", "save_model=false", "loggers=[]"]
# The rate is so high that the first epoch has the smallest loss.
WORSE = [*QUICK, *FEW, "hparams.schedule=null", "hparams.learning_rate=1", "hparams.max_epochs=3"]


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)


def run(outputs: Path, *words: str) -> tuple[dict[str, float], Path]:
    metrics = start(*WORSE, f"outputs={outputs}", *words)
    return metrics, max(outputs.glob("patch_sets/2*"))


def test_the_last_weights_are_tested_and_used_where_they_are_asked_for(tmp_path: Path) -> None:
    best, chosen = run(tmp_path / "best")
    last, kept = run(tmp_path / "last", "hparams.keep=last")
    assert checkpoint(chosen, "best.ckpt")["epoch"] < 2
    assert checkpoint(kept, "best.ckpt")["epoch"] == checkpoint(kept, "last.ckpt")["epoch"] == 2
    assert last["test/loss"] != best["test/loss"]
    losses = [row.value for row in read_metrics(kept) if row.name == "val/loss"]
    assert best_values(kept, "val/loss", "min", ["val/loss"], "last") == losses[-1:]
    assert best_values(kept, "val/loss", "min", ["val/loss"]) == [min(losses)] != losses[-1:]

    start(f"resume={chosen}", "hparams.keep=last")  # all epochs are done: the kept weights change
    assert checkpoint(chosen, "best.ckpt")["epoch"] == 2


def test_data_without_a_validation_split_keep_the_last_weights(tmp_path: Path) -> None:
    words = ["+data.val_fraction=0", "hparams.max_epochs=1"]
    with pytest.raises(ConfigError, match=r"no validation split .* write hparams\.keep=last"):
        run(tmp_path / "refused", *words)
    with pytest.raises(ConfigError, match="early_stopping_patience: null is wanted"):
        run(tmp_path / "refused", *words, "hparams.keep=last", "hparams.early_stopping_patience=1")
    metrics, folder = run(tmp_path / "last", *words, "hparams.keep=last")
    assert "test/loss" in metrics
    assert not [row for row in read_metrics(folder) if row.name.startswith("val/")]
    assert (folder / "checkpoints/best.ckpt").is_file()


@pytest.mark.parametrize("patience", ["null", "1"])
def test_a_metric_that_no_validation_logs_cannot_choose(tmp_path: Path, patience: str) -> None:
    with pytest.raises(ConfigError, match=r"validation logged no val/acuracy; it logged val/accuracy, val/"):
        run(
            tmp_path,
            "+task.monitor=val/acuracy",
            "+task.monitor_mode=max",
            f"hparams.early_stopping_patience={patience}",
        )


def test_what_is_neither_best_nor_last_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hparams\.keep: 'first' is not best or last"):
        run(tmp_path, "hparams.keep=first")
    assert not list(tmp_path.iterdir())


def test_files_without_a_validation_split_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    root = make_feature_bags(tmp_path / "bags")
    words = ["data=features", "model=deep_sets", f"data.root={root}", "data.val_fraction=0"]
    with pytest.raises(ConfigError, match=r"no validation split .* write hparams\.keep=last"):
        start(*words, f"outputs={tmp_path / 'outputs'}")
    assert not (tmp_path / "outputs").exists()

"""The best checkpoint stays the best, wherever the run folder lies."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.demos.boring_classes import BoringModel

from workbench.train.base import RunTask
from workbench.train.callbacks import BestAndLast, StopsEarly

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # Lightning's


class Worsening(BoringModel):
    """A model whose first epoch is its best."""

    on_load_checkpoint = RunTask.on_load_checkpoint

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", float(self.current_epoch))


def make_trainer(folder: Path, max_epochs: int, *callbacks: Callback) -> Trainer:
    return Trainer(
        max_epochs=max_epochs,
        limit_train_batches=1,
        limit_val_batches=1,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def test_best_survives_where_temporary_files_are_on_another_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move_between_file_systems(source: str, target: str) -> None:
        shutil.copyfile(source, target)
        Path(source).unlink()

    monkeypatch.setattr(shutil, "move", move_between_file_systems)  # Lightning's, from the temporary files
    trainer = make_trainer(tmp_path, 3, BestAndLast(tmp_path, "val/loss", "min"))
    trainer.fit(Worsening())
    kept = {path.name: torch.load(path, weights_only=True)["epoch"] for path in tmp_path.iterdir()}
    assert kept == {"best.ckpt": 0, "last.ckpt": 2}


@pytest.mark.parametrize(("patience", "epochs"), [(2, 3), (4, 5)])
def test_resumed_run_that_had_stopped_early_trains_only_with_more_patience(
    tmp_path: Path, patience: int, epochs: int
) -> None:
    first = make_trainer(
        tmp_path, 9, StopsEarly("val/loss", patience=2), BestAndLast(tmp_path, "val/loss", "min")
    )
    first.fit(Worsening())
    assert first.current_epoch == 3
    again = make_trainer(tmp_path, 9, StopsEarly("val/loss", patience=patience))
    again.fit(Worsening(), ckpt_path=tmp_path / "last.ckpt")
    assert again.current_epoch == epochs

"""A task of anomaly detection from its command to its detector, on discs with holes."""

import csv
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import start
from stand_in import Discs
from whole_command import the_run

from patchsets.anomaly.predictions import read_predictions
from patchsets.anomaly.scoring import pool
from patchsets.data.batch import ImageBatch
from patchsets.task.anomaly import AnomalyTask
from patchsets.task.autoencoder import Reconstruction
from workbench.common.errors import ConfigError, NonFiniteLoss
from workbench.models import load as saved
from workbench.portable.model import load_model

SMALL = ["loggers=[]", "experiment_name=discs"]
SMALL_CODES = ["hparams.enc_channels=[8,16]", "hparams.latent_dim=4"]  # of what draws images again
WITHOUT_CODES = ("patch_memory", "defect_segmentation")
LEARN = ["hparams.max_epochs=30", "hparams.learning_rate=0.02"]
DISCS = [
    "data=digits", "data._target_=stand_in.Discs", "trusted_targets=[stand_in.]",
    "~data.patch_size", "~data.stride", "~data.patches", "~data.split_seed",
]  # fmt: skip


def run(outputs: Path, task: str, *words: str) -> tuple[Path, dict[str, float]]:
    small = SMALL if task in WITHOUT_CODES else [*SMALL, *SMALL_CODES]
    metrics = start(f"task={task}", *DISCS, *small, f"outputs={outputs}", *words)
    return the_run(outputs, "discs"), metrics


def rows(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open() as file:
        timeless = [row[1:] for row in csv.reader(file)]
    return [row for row in timeless if not any("milliseconds" in cell for cell in row)]


def interrupt_at(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training end as by Ctrl-C when an epoch begins."""

    begin = AnomalyTask.on_train_epoch_start

    def stop(self: AnomalyTask) -> None:
        begin(self)
        if self.current_epoch == epoch:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(AnomalyTask, "on_train_epoch_start", stop)


def assert_loads(folder: Path) -> None:
    """A run's network comes back from its folder, and its scores are those that were reported."""
    task = saved.load_model(folder, trusted_targets=["stand_in."])
    task.preprocessing_train()
    batch = task.data.make_batch(next(iter(task.data.test_dataloader())), training=False)
    with torch.no_grad():
        map_BHW = task.network.maps(batch.input)[task.settings["score_map"]]
        assert len(task.network(batch.input)) == len(batch.label)
    reported = read_predictions(folder / "predictions.csv").test
    score_B = pool(map_BHW, task.settings["pooling"])
    np.testing.assert_allclose(score_B, reported.score[: len(batch.label)], rtol=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """An autoencoder after a few epochs."""
    return run(tmp_path_factory.mktemp("trained"), "autoencoder", *LEARN)


def test_it_learns_more_than_it_knew(trained: tuple[Path, dict[str, float]]) -> None:
    _, metrics = trained
    assert metrics["test/auroc"] > 0.9
    assert metrics["test/auroc"] > metrics["test/untrained_auroc"]
    assert {"test/trivial_auroc", "test/milliseconds_per_image", "test/auroc_by_score/l2_mean"} <= set(
        metrics
    )


def test_losses_have_their_names_in_every_epoch(trained: tuple[Path, dict[str, float]]) -> None:
    names = [cell for row in rows(trained[0]) for cell in row]
    assert names.count("train_loss") == names.count("val_loss") == 30
    assert names.count("train/loss") >= 30
    assert (trained[0] / "figures" / "learning_curves.png").is_file()


def test_same_seed_same_numbers_and_a_resumed_run_too(
    trained: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(20, monkeypatch)
    with pytest.raises(SystemExit):
        run(tmp_path, "autoencoder", *LEARN)
    monkeypatch.undo()
    folder = the_run(tmp_path, "discs")
    monkeypatch.setattr(AnomalyTask, "report", lambda *_: None)
    start(f"resume={folder}", "save_model=false")
    assert rows(folder) == rows(trained[0])


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_others_learn_and_resume_exactly(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["hparams.max_epochs=4", "hparams.learning_rate=0.01"]
    whole, metrics = run(tmp_path / "whole", name, *few)
    interrupt_at(2, monkeypatch)
    with pytest.raises(SystemExit):
        run(tmp_path / "stopped", name, *few, "save_model=false")
    monkeypatch.undo()
    folder = the_run(tmp_path / "stopped", "discs")
    monkeypatch.setattr(AnomalyTask, "report", lambda *_: None)
    start(f"resume={folder}")
    assert rows(folder) == rows(whole)
    assert "test/auroc" in metrics
    assert (whole / "model" / "model.pt2").is_file()
    assert (whole / "figures" / "samples.png").is_file() == (name == "vae")
    assert_loads(whole)


def test_deployed_scores_are_the_reported_ones(trained: tuple[Path, dict[str, float]]) -> None:
    """The exported model answers from raw images what predictions.csv says, to the last decision."""
    folder, _ = trained
    model = load_model(folder / "model")
    predictions = read_predictions(folder / "predictions.csv")
    data = Discs()
    data.setup()
    images = np.stack([data.image("test", row) for row in predictions.test.index])
    answers = model(np.repeat(images[..., None], 3, axis=3))
    np.testing.assert_allclose(answers["score"], predictions.test.score, atol=1e-6, rtol=0)
    np.testing.assert_allclose(
        answers["p_value"], predictions.threshold.p_value(predictions.test.score), atol=1e-6
    )
    assert (answers["is_anomaly"] == predictions.threshold.is_anomaly(predictions.test.score)).all()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["hparams.enc_channels=[4,8,16,32,64,128]"], "32x32 cannot be halved 6 times, .* multiple of 64"),
        (["hparams.score_map=own"], "hparams.score_map: this network has no own; it has l2, ssim, l2.ssim"),
    ],
)
def test_what_does_not_fit_is_one_line_before_training(words: list[str], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=wrong):
        run(tmp_path, "autoencoder", *words)
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["data=digits"], r"data: Reconstruction needs good images .*, and Digits has none"),
        (["model=set_transformer"], "model: Reconstruction needs a network with maps, reconstruct, losses"),
        (["model=gan"], "model: Reconstruction needs a network with losses, and Ganomaly has none"),
        (["task=vae", "model=autoencoder"], "model: Variational needs a network with sample"),
    ],
)
def test_what_does_not_go_together_leaves_nothing(words: list[str], wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=wrong):
        start("task=autoencoder", *words, *SMALL, f"outputs={tmp_path / 'outputs'}")
    assert not (tmp_path / "outputs").exists()


def test_debug_keeps_nothing(tmp_path: Path) -> None:
    _, metrics = run(tmp_path, "autoencoder", "debug=True")
    assert "test/loss" in metrics
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".ckpt", ".png", ".pt2")]


def test_a_broken_loss_halts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Reconstruction, batch: ImageBatch) -> dict[str, torch.Tensor]:
        return {"loss": self.network.losses(batch.input)["loss"] * float("nan")}

    monkeypatch.setattr(Reconstruction, "training_values", broken)
    with pytest.raises(NonFiniteLoss, match="the loss became nan at step 0"):
        run(tmp_path, "autoencoder", "hparams.max_epochs=2", "trainer.log_every_n_steps=1")


def test_another_threshold_from_the_same_weights(
    trained: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    words = [f"init_from={trained[0]}", "hparams.max_epochs=1", "hparams.learning_rate=1e-9"]
    folder, metrics = run(tmp_path, "autoencoder", *words, "hparams.threshold=f1", "save_model=false")
    assert read_predictions(folder / "predictions.csv").threshold.method == "f1"
    assert metrics["test/auroc"] == pytest.approx(trained[1]["test/auroc"], abs=0.02)

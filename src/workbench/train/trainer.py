"""Lightning's trainer as a run has it; which of Lightning's callbacks a run cannot obey, and why.

tests/test_lightning_words.py holds every callback of the installed Lightning: obeyed, or refused here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig, ListConfig, open_dict
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint, ProgressBar
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from workbench.common.errors import ConfigError, UserError
from workbench.common.private_parts import verify_before_fit, without_signal_handlers
from workbench.config.build import build
from workbench.config.trainer_words import OTHER_PRECISIONS
from workbench.search.pruning import pruning
from workbench.train.base import RunTask
from workbench.train.callbacks import BestAndLast, NetworkFirst, StopsEarly, TrainingBar
from workbench.train.step_log import RunLogger, StepOrEpoch

REFUSED: dict[type[Callback], str] = {
    callbacks.BatchSizeFinder: "it changes the batch size that config.yaml records; "
    "compare sizes by -m hparams.batch_size=64,128,256",
    callbacks.LearningRateFinder: "it changes the rate that config.yaml records; "
    "search one by -m 'hparams.learning_rate=interval(1e-4,1e-1)'",
    callbacks.BackboneFinetuning: "it wants a task with a backbone; "
    "+task.learning_rates={<part of the network>: 0} freezes a part, 0.1 slows it",
    callbacks.BasePredictionWriter: "a run never predicts; predictions.csv holds its answers, "
    "and src/inference.py writes others",
    callbacks.OnExceptionCheckpoint: "Lightning would begin the next run with the file it leaves; "
    "last.ckpt is there to go on from",
    callbacks.SpikeDetection: "Lightning cannot load the state it saves; a loss of NaN is told in any case",
}
ONE_OPTIMIZER = (callbacks.StochasticWeightAveraging, callbacks.GradientAccumulationScheduler)


def build_trainer(config: DictConfig, task: RunTask, folder: Path) -> lightning.Trainer:
    """Build Lightning's trainer with what every run has: run folder, checkpoints, one progress bar."""
    node = config.trainer.copy()
    with open_dict(node):
        if "precision" in node:
            node.precision = _precision(node)
        own = _own_callbacks(node.pop("callbacks", None) or [], list(config.trusted_targets), folder)
        node.enable_model_summary = node.get("enable_model_summary") or False
    has_bar = any(isinstance(callback, ProgressBar) for callback in own)
    shown = [] if has_bar or not node.get("enable_progress_bar", True) else [TrainingBar()]
    kept = [] if config.debug else checkpointing(config, task, folder)
    logger = RunLogger(folder)
    all_callbacks = [NetworkFirst(), StepOrEpoch(logger), *own, *shown, *pruning(folder), *kept]
    with lightning_told(ConfigError, "trainer: "):
        trainer: lightning.Trainer = build(
            node,
            "trainer",
            list(config.trusted_targets),
            callbacks=all_callbacks,
            logger=logger,
            default_root_dir=folder,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in all_callbacks),
            num_sanity_val_steps=0,
        )
    if reason := OTHER_PRECISIONS.get(str(trainer.precision)):
        raise ConfigError(f"trainer.plugins: {reason}")
    return without_signal_handlers(trainer)  # ours raise Interrupted


def build_tester(config: DictConfig, folder: Path) -> lightning.Trainer:
    """Build a trainer that only tests, on one device, with the accelerator and precision of a run."""
    node = config.trainer
    logger = RunLogger(folder)
    with lightning_told(ConfigError, "trainer: "):
        return lightning.Trainer(
            accelerator=node.get("accelerator", "auto"),
            precision=_precision(node),
            devices=1,
            logger=logger,
            callbacks=[NetworkFirst(), StepOrEpoch(logger)],
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )


def _precision(node: DictConfig) -> Any:
    if node.get("precision", "32-true") != "auto":
        return node.get("precision", "32-true")
    return "bf16-mixed" if _gpu_has_bf16(node.get("accelerator", "auto")) else "32-true"


def _own_callbacks(nodes: Any, trusted: list[str], folder: Path) -> list[Callback]:
    """Build the callbacks that the configuration names."""
    own = []
    if not isinstance(nodes, list | ListConfig):
        raise ConfigError("trainer.callbacks: give a list: +trainer.callbacks=[{_target_: ...}]")
    for place, node in enumerate(nodes):
        path = f"trainer.callbacks[{place}]"
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{path}: {node} names no _target_")
        with lightning_told(ConfigError, f"{path}: "):
            callback = build(node, path, trusted)
        name = type(callback).__name__
        if not isinstance(callback, Callback):
            raise ConfigError(f"{path}: {name} is no callback of Lightning")
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise ConfigError(f"{path}: {name} is not possible: {reason}")
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints" / "more")  # apart from best.ckpt and last.ckpt
        own.append(callback)
    return own


def checkpointing(config: DictConfig, task: RunTask, folder: Path) -> list[Callback]:
    """Keep the weights to test and use by `hparams.keep`, and the last epoch to resume from."""
    checkpoint = BestAndLast(folder / "checkpoints", *task.goal())
    patience = config.hparams.early_stopping_patience
    if patience is None:
        return [checkpoint]
    return [StopsEarly(task.monitor, mode=task.monitor_mode, patience=patience), checkpoint]


def check_pairing(task: RunTask, trainer: lightning.Trainer) -> None:
    """Raise ConfigError where the task cannot obey a word of the trainer: before anything is written."""
    task.check_trainer(trainer)
    with lightning_told(ConfigError, "trainer: "):
        verify_before_fit(trainer, task)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's own connector
        if not task.automatic_optimization and isinstance(callback, ONE_OPTIMIZER):
            raise ConfigError(
                f"trainer.callbacks: {type(callback).__name__} is not possible: "
                f"{type(task).__name__} takes the steps of its optimizers itself"
            )


@contextmanager
def lightning_told(kind: type[UserError], where: str = "") -> Iterator[None]:
    """Turn what Lightning itself refuses into a line for a person."""
    try:
        yield
    except (MisconfigurationException, ModuleNotFoundError) as error:
        raise kind(f"{where}{' '.join(str(error).split())}") from error


def _gpu_has_bf16(accelerator: str) -> bool:
    return (
        accelerator in ("auto", "gpu", "cuda")
        and torch.cuda.is_available()
        and torch.cuda.is_bf16_supported()
    )

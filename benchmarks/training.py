"""What a training costs beside a bare PyTorch loop on the same network, data and batches.

python benchmarks/training.py     some four minutes; process CPU time, one thread, medians of interleaved runs

1. The default network on the default data: steps per second (goal: at least 0.95 of the bare loop). Both
   sides also judge the validation sets after each epoch and save a checkpoint.
2. A tiny network, where every microsecond shows: CPU time added per step (goal: at most 0.45 ms), with all
   that a user would see kept: loss and learning rate on the logging steps, the mean over all steps of an
   epoch, progress bar, checkpoints, NaN watch, the default logger's thread. Beside it what Lightning adds.
"""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from bare_loop import train_bare
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from timing import print_table
from tiny import Tiny, TinyAlone, TinySets

from patchsets.task.task import Task
from workbench.common.workspace import ROOT
from workbench.config import composition
from workbench.run.folder import make_folder, name_folder
from workbench.run.summary import Recording
from workbench.tracking.tensorboard import TensorboardTracker
from workbench.tracking.trackers import describe
from workbench.tracking.uploader_process import MirrorProcess
from workbench.train.trainer import build_trainer
from workbench.train.training import build_task

REPEATS = 7
QUIET = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}


class Stopwatch(lightning.Callback):
    """Process CPU time of all threads, from the first training step to the end of training."""

    def on_train_start(self, *_: Any) -> None:
        self.begun = time.process_time()

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.begun


def main() -> None:
    """Measure both networks and print two tables."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    composition.register()
    with tempfile.TemporaryDirectory() as outputs:
        _default_network(Path(outputs))
        _tiny_network(Path(outputs))


def _default_network(outputs: Path) -> None:
    config = _config("hparams.max_epochs=4")
    steps = 0

    def bare() -> float:
        nonlocal steps
        seconds, steps = train_bare(build_task(config), config, outputs)
        return seconds

    medians = interleaved(
        {"bare loop": bare, "patchsets": lambda: train(build_task(config), config, outputs)}
    )
    bare_seconds = medians["bare loop"]
    rows = [[name, f"{steps / s:.1f}", f"{bare_seconds / s:.3f}"] for name, s in medians.items()]
    print_table("Default network (goal: ratio at least 0.95)", ["training", "steps/s", "ratio"], rows)


def _tiny_network(outputs: Path) -> None:
    config = _config(
        "hparams.max_epochs=1", "hparams.optimizer=SGD", "hparams.schedule=null", "hparams.gradient_clip=null"
    )
    data = TinySets()

    def alone() -> float:
        watch = Stopwatch()
        lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[watch], **QUIET).fit(TinyAlone(data))
        return watch.seconds

    medians = interleaved(
        {
            "bare loop": lambda: train_bare(Tiny(data), config, outputs)[0],
            "Lightning alone": alone,
            "patchsets": lambda: train(Tiny(data), config, outputs),
        }
    )
    bare_seconds = medians["bare loop"]
    rows = [
        [name, f"{s / data.steps * 1e3:.3f}", f"{(s - bare_seconds) / data.steps * 1e3:.3f}"]
        for name, s in medians.items()
    ]
    print_table("Tiny network (goal: at most 0.45 ms added)", ["training", "ms/step", "added"], rows)


def interleaved(variants: dict[str, Callable[[], float]], repeats: int = REPEATS) -> dict[str, float]:
    """Return the median of what each variant measures, after one of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats + 1):
        for name, measure in variants.items():
            seconds[name].append(measure())
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first warms up


def _config(*words: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("config", overrides=list(words))


def train(task: Task, config: DictConfig, outputs: Path) -> float:
    """Train exactly as a run does, with the default logger, and return the CPU seconds of the training."""
    folder = name_folder(outputs, "benchmark")
    make_folder(folder)
    recording = Recording(folder)
    recording.begin()
    mirror = MirrorProcess(
        folder, {"tensorboard": TensorboardTracker()}, describe(config, folder, recording.started)
    )
    trainer = build_trainer(config, task, folder)
    watch = Stopwatch()
    trainer.callbacks.append(watch)
    mirror.start()
    trainer.fit(task)
    mirror.close("finished")
    recording.release()
    return watch.seconds


if __name__ == "__main__":
    main()

"""What training the autoencoder of 256x256x3 costs beside a bare PyTorch loop, and what channels-last brings.

python benchmarks/autoencoder.py     five minutes; process CPU time, one thread, medians of interleaved runs

1. A training of the task as a run does it, beside a bare loop on the same network, images and batches; both
   judge the held-out images and save a checkpoint after the epoch (goal: at least 0.95 of its speed).
2. A training step of the network alone, its weights stored with channels first or last.

Last run, two repeats on a busy machine: 1.17 of the bare loop (4.95 and 4.21 images a second, so no slower);
channels last 1.24 times as fast at 64x64x1, 0.92 at 256x256x3. The task therefore leaves them first.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare_loop import train_bare
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from timing import compare, print_table
from training import interleaved, train

from patchsets.data.anomaly_demo import AnomalyDemo
from patchsets.data.image_sets import labelled
from patchsets.model.autoencoder import Autoencoder
from patchsets.task.task import Task
from workbench.common.workspace import ROOT
from workbench.config import composition
from workbench.train.training import build_task

REPEATS = 3
BATCH = 4
COUNTS = {"train": 6 * BATCH, "val": BATCH, "test": BATCH}
WORDS = ["task=autoencoder", "hparams.image_size=256", f"hparams.batch_size={BATCH}", "hparams.max_epochs=1"]


class Noise(AnomalyDemo):
    """Colour images of 256x256 pixels that take no time to make; all good ones."""

    def prepare_data(self) -> None:
        """Do nothing: they are not kept."""

    def setup(self, stage: str | None = None) -> None:
        """Draw the images."""
        random = np.random.default_rng(0)
        for split, count in COUNTS.items():
            images = random.integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)
            self.splits[split] = labelled(images, np.zeros(count, dtype=np.int64))
        self.image_shape = (3, 256, 256)

    def fingerprint(self) -> dict[str, Any]:
        """Return nothing: there is no folder."""
        return {}


def main() -> None:
    """Measure and print two tables."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    composition.register()
    with (
        tempfile.TemporaryDirectory() as outputs,
        initialize_config_dir(str(ROOT / "config"), version_base="1.3"),
    ):
        config = compose("config", overrides=WORDS)
        _training(config, Path(outputs))
    rows = [
        _memory_formats(size, channels, batch) for size, channels, batch in ((64, 1, 16), (256, 3, BATCH))
    ]
    print_table("A training step, ms per image", ["image", "channels first", "last", "ratio"], rows)


def _training(config: DictConfig, outputs: Path) -> None:
    def task() -> Task:
        made = build_task(config)
        made.data = Noise("part", BATCH, seed=0, image_size=256)
        return made

    medians = interleaved(
        {
            "bare loop": lambda: train_bare(task(), config, outputs)[0],
            "patchsets": lambda: train(task(), config, outputs),
        },
        REPEATS,
    )
    bare = medians["bare loop"]
    rows = [[name, f"{COUNTS['train'] / s:.2f}", f"{bare / s:.3f}"] for name, s in medians.items()]
    print_table("Training (goal: ratio at least 0.95)", ["training", "images/s", "ratio"], rows)


def _memory_formats(size: int, channels: int, batch: int) -> list[str]:
    shape = (channels, size, size)
    formats = {"first": torch.contiguous_format, "last": torch.channels_last}
    seconds = compare({name: _step(shape, batch, layout) for name, layout in formats.items()}, REPEATS)
    each = [f"{1000 * value / batch:.1f}" for value in seconds.values()]
    return ["x".join(map(str, (size, size, channels))), *each, f"{seconds['first'] / seconds['last']:.2f}"]


def _step(shape: tuple[int, int, int], batch: int, layout: torch.memory_format) -> Callable[[], None]:
    network = Autoencoder(shape, [32, 64, 128], latent_dim=32).to(memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.rand(batch, *shape)

    def step() -> None:
        optimizer.zero_grad()
        network.losses(images)["loss"].backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()

"""Anomaly data made in a moment: a disc on a soft background, and where it is bad a hole in it."""

from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from patchsets.data.batch import ImageBatch
from workbench.train.loading import BatchedRows, hash_of, loader

SIZES = {"train": (48, 0), "val": (16, 8), "test": (16, 16)}  # good ones, anomalies


class Discs(LightningDataModule):
    """The members of data.anomaly.AnomalyImages."""

    def __init__(
        self, batch_size: int = 16, seed: int = 0, image_size: int = 32, anomalies_in_val: bool = True
    ) -> None:
        super().__init__()
        self.batch_size, self.seed, self.size = batch_size, seed, image_size
        self.sizes = SIZES if anomalies_in_val else {**SIZES, "val": (24, 0)}
        self.image_shape = (1, image_size, image_size)
        self.classes = ["good", "anomaly"]

    def setup(self, stage: str | None = None) -> None:
        self.made = {split: self._make(number) for number, split in enumerate(self.sizes)}

    def _make(self, number: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
        good, bad = list(self.sizes.values())[number]
        random = np.random.default_rng([self.seed, number])
        y, x = np.mgrid[: self.size, : self.size] / self.size
        label = np.repeat([0, 1], [good, bad])
        centre, hole = (
            random.normal(0.5, 0.02, (2, len(label), 1, 1)),
            random.uniform(0.4, 0.6, (2, len(label))),
        )
        values = (
            60
            + 90 * (np.hypot(y - centre[0], x - centre[1]) < 0.3)
            + random.normal(0, 4, (len(label), *x.shape))
        )
        masks = np.hypot(y - hole[0][:, None, None], x - hole[1][:, None, None]) < 0.08
        masks &= label[:, None, None] == 1
        images = np.where(masks, 60, np.clip(values, 0, 255)).astype(np.uint8)
        return torch.from_numpy(images), masks, label

    def _loader(self, split: str, shuffle_seed: int | None = None) -> Any:
        images, _, label = self.made[split]
        rows = BatchedRows(len(label), lambda rows: (images[rows], torch.from_numpy(label)[rows], rows))
        return loader(rows, self.batch_size, 0, shuffle_seed)

    def train_dataloader(self) -> Any:
        return self._loader("train", self.seed)

    def val_dataloader(self) -> Any:
        return self._loader("val")

    def test_dataloader(self) -> Any:
        return self._loader("test")

    def make_batch(self, raw: Any, training: bool) -> ImageBatch:
        images, label, index = raw
        return ImageBatch(images[:, None].float() / 255, label, index)

    def image(self, split: str, index: int) -> np.ndarray:
        return self.made[split][0][index].numpy()

    def kind(self, split: str, index: int) -> str:
        return ("good", "hole")[self.made[split][2][index]]

    def mask(self, split: str, index: int) -> np.ndarray:
        return self.made[split][1][index]

    def file_name(self, split: str, index: int) -> str:
        return f"{self.kind(split, index)}/{index}.png"

    def fingerprint(self) -> dict[str, Any]:
        return {split: hash_of(images) for split, (images, *_) in self.made.items()}

    def preprocessing(self) -> dict[str, Any]:
        return {"size": [self.size, self.size], "fit": "stretch", "mode": "L"}

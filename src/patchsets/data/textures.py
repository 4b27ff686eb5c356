"""Windows of the photographs of brick, grass and gravel (512x512, CC0) that come with scikit-image."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from workbench.common.errors import ConfigError
from workbench.common.limits import AboveZero

# Columns of the photographs each split is cut from: no pixel of one is ever seen in another.
REGIONS = {"train": (0, 288), "val": (288, 384), "test": (384, 512)}
CLASSES = ("brick", "grass", "gravel")


class Textures(ImageSets):
    """Square windows at random places of each split's own region, as sets of patches."""

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        patch_size: int | None = 8,
        stride: int = 8,
        window: int = 96,
        windows: tuple[int, int, int] = (400, 100, 200),
        split_seed: int = 0,
        **sets: Any,
    ) -> None:
        """Take so many windows of each class for train, val and test."""
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        narrowest = min(right - left for left, right in REGIONS.values())
        if not 0 < window <= narrowest:
            raise ConfigError(f"data.window: {window} is not from 1 to {narrowest}, the narrowest region")
        self.classes = list(CLASSES)
        self.window = window
        self.windows = dict(zip(REGIONS, windows, strict=True))
        self.split_seed = split_seed

    def read(self) -> dict[str, LabelledImages]:
        photographs = [read_photograph(name) for name in CLASSES]
        random = np.random.default_rng(self.split_seed)
        return {split: self._cut(photographs, split, random) for split in REGIONS}

    def _cut(self, photographs: list[np.ndarray], split: str, random: np.random.Generator) -> LabelledImages:
        count = self.windows[split]
        windows = [self._windows(photograph, split, count, random) for photograph in photographs]
        return labelled(np.concatenate(windows), np.repeat(np.arange(len(CLASSES)), count))

    def _windows(
        self, photograph: np.ndarray, split: str, count: int, random: np.random.Generator
    ) -> np.ndarray:
        left, right = REGIONS[split]
        tops = random.integers(0, photograph.shape[0] - self.window + 1, count)
        lefts = random.integers(left, right - self.window + 1, count)
        return np.stack(
            [photograph[y : y + self.window, x : x + self.window] for y, x in zip(tops, lefts, strict=True)]
        )


def read_photograph(name: str) -> np.ndarray:
    """Return one photograph in grey, `[H, W]` uint8."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / f"{name}.png") as image:
        return np.asarray(image.convert("L"))

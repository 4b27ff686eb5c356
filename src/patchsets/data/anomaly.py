"""Good images to learn from, good and anomalous ones to judge by: folders like MVTec AD's or VisA's."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchsets.data.augmentation import Augment, augmentation
from patchsets.data.batch import ImageBatch
from patchsets.data.image_files import ImageFile, as_one_mode, read_images
from patchsets.data.image_sets import LabelledImages, labelled
from patchsets.data.layout import FITS, GOOD, Entry, as_mask, fit_mask, read_layout
from patchsets.data.splitting import hold_out
from workbench.common.errors import ConfigError, DataError, data_root
from workbench.common.limits import AboveZero, ImageSize
from workbench.portable.pixels import fitted, shown, sides
from workbench.train.loading import SplitLoaders, hash_of

log = logging.getLogger(__name__)


class AnomalyImages(SplitLoaders):
    """Whole images of one size `[C, H, W]`; C is 1 where all are grey, else 3.

    Good images for validation are held out of train/good unless there is a val/good: whole groups where a
    manifest names them, and images with the same pixels together. The training's seed does not change it.
    """

    image_shape: tuple[int, int, int]  # channels, height, width; known after setup

    def __init__(
        self,
        root: str | None,
        batch_size: AboveZero,
        seed: int,
        image_size: ImageSize = 256,
        fit: str = "stretch",
        val_fraction: float = 0.15,
        split_seed: int = 0,
        num_workers: int = 0,
        augment: Augment = None,
    ) -> None:
        """`image_size`: pixels of a side, or [height, width]; `augment`: as of ImageSets.

        `fit`: stretch, or letterbox, which keeps the proportions.
        """
        if fit not in FITS:
            raise ConfigError(f"data.fit: {fit!r} is neither {' nor '.join(FITS)}")
        if not 0 < val_fraction < 1:
            raise ConfigError(f"data.val_fraction: {val_fraction} is not between 0 and 1")
        if min(sides(image_size)) < 1:
            raise ConfigError(f"data.image_size: {image_size} is not above 0")
        self.root = root
        self.batch_size, self.seed = batch_size, seed
        self.image_size, self.fit = image_size, fit
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.num_workers, self.augment = num_workers, augmentation(augment, "data.augment")
        self.classes = [GOOD, "anomaly"]
        self.splits: dict[str, LabelledImages] = {}

    def folder(self) -> Path:
        """Return the folder that holds the images. Raises ConfigError where none was named."""
        return data_root(self.root)

    def find_files(self) -> None:
        """Look which files a folder of one's own has; DataError where it is in no layout that is known.

        Try the augmentation on noise too; ConfigError where it cannot be done.
        """
        if self.augment:
            height, width = sides(self.image_size)
            self.augment.try_on((3, height, width), (1, height, width))
        if self.root is not None:
            read_layout(self.folder())

    def setup(self, stage: str | None = None) -> None:
        """Read once, however often Lightning asks. Raises DataError naming every file that cannot be read."""
        if self.splits:
            return
        self._folder = folder = self.folder()
        layout = read_layout(folder)
        for oddity in layout.oddities:
            log.info("%s: %s", shown(folder), oddity)
        files = read_images([entry.path for entry in layout.entries], folder, 1, shrink=self._fitted)
        pixels = as_one_mode([file.pixels for file in files])
        rows = self._split(layout.entries, files)
        _tell_leaks(rows, layout.entries, files, folder)
        self._entries = {split: [layout.entries[row] for row in part] for split, part in rows.items()}
        self._masks = self._read_masks(layout.entries, files, folder)
        for split, part in rows.items():
            label = np.array([layout.entries[row].kind != GOOD for row in part])
            self.splits[split] = labelled(np.stack([pixels[row] for row in part]), label)
        channels = self.splits["train"].images.channels
        self.image_shape = (channels, *sides(self.image_size))
        self.num_features = channels

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        return fitted(pixels, self.image_size, self.fit)

    def _split(self, entries: Sequence[Entry], files: Sequence[ImageFile]) -> dict[str, list[int]]:
        """Return which of the images are train, val and test."""
        rows = {
            split: [row for row, entry in enumerate(entries) if entry.split == split]
            for split in ("train", "val", "test")
        }
        if any(entries[row].kind == GOOD for row in rows["val"]):
            return rows
        groups = [entries[row].group or files[row].sha256 for row in rows["train"]]
        if len(set(groups)) < 2:
            raise DataError(
                f"data.root: {len(groups)} good images of {len(set(groups))} source leave none to validate "
                "with; add good images, or make val/good"
            )
        held = hold_out(groups, self.val_fraction, self.split_seed)
        rows["val"] = [row for row, out in zip(rows["train"], held, strict=True) if out] + rows["val"]
        rows["train"] = [row for row, out in zip(rows["train"], held, strict=True) if not out]
        return rows

    def _read_masks(
        self, entries: Sequence[Entry], files: Sequence[ImageFile], folder: Path
    ) -> dict[Path, np.ndarray]:
        """Return the masks at the images' size, by the image's path; one of another size is refused."""
        known = [row for row, entry in enumerate(entries) if entry.mask is not None]
        paths = [path for row in known if (path := entries[row].mask) is not None]
        masks = read_images(paths, folder, 1, shrink=self._fitted_mask)
        wrong = [
            f"{shown(path.relative_to(folder))} {mask.size[1]}x{mask.size[0]} pixels, its image "
            f"{files[row].size[1]}x{files[row].size[0]}"
            for row, path, mask in zip(known, paths, masks, strict=True)
            if mask.size != files[row].size
        ]
        if wrong:
            raise DataError("masks have other sizes than their images:\n  " + "\n  ".join(wrong))
        if empty := [shown(path) for path, mask in zip(paths, masks, strict=True) if not mask.pixels.any()]:
            log.warning(
                "%d masks are empty, so where these anomalies are is not known: %s",
                len(empty),
                ", ".join(empty[:10]),
            )
        return {entries[row].path: mask.pixels for row, mask in zip(known, masks, strict=True)}

    def _fitted_mask(self, pixels: np.ndarray) -> np.ndarray:
        return fit_mask(as_mask(pixels), self.image_size, self.fit)

    def make_batch(self, raw: LabelledImages, training: bool) -> ImageBatch:
        """Turn bytes into 0..1; label 0 is good, 1 anomalous."""
        images_BCHW = raw.images.stacked()
        if training and self.augment:
            images_BCHW = self.augment(images_BCHW)
        return ImageBatch(images_BCHW, raw.label, raw.index)

    def image(self, split: str, index: int) -> np.ndarray:
        """Return an image, `[H, W]` or `[H, W, 3]` uint8."""
        return self.splits[split].images.array(index)

    def mask(self, split: str, index: int) -> np.ndarray | None:
        """Return where an image is anomalous, `[H, W]` bool; None where that is not known."""
        entry = self._entries[split][index]
        if entry.kind == GOOD:
            return np.zeros(self.image_shape[1:], dtype=bool)
        return self._masks.get(entry.path)

    def kind(self, split: str, index: int) -> str:
        """Return good, or what the defect is."""
        return self._entries[split][index].kind

    def file_name(self, split: str, index: int) -> str:
        """Return the path of an image's file within the root."""
        return shown(self._entries[split][index].path.relative_to(self._folder))

    def preprocessing(self) -> dict[str, Any]:
        """Return what is done to an image before the network, as plain values."""
        channels, height, width = self.image_shape
        return {"size": [height, width], "fit": self.fit, "mode": "L" if channels == 1 else "RGB"}

    def fingerprint(self) -> dict[str, Any]:
        """Return the preprocessing; for each split its counts by kind, and a hash of pixels and labels."""
        described = {
            split: {
                "counts": dict(Counter(entry.kind for entry in self._entries[split])),
                "sha256": hash_of(part.images.pixels, part.label),
            }
            for split, part in self.splits.items()
        }
        return {"classes": self.classes, "preprocessing": self.preprocessing(), **described}


def _tell_leaks(
    rows: dict[str, list[int]], entries: Sequence[Entry], files: Sequence[ImageFile], folder: Path
) -> None:
    """Warn of test images that are in train or val too: what they reach says nothing."""
    seen = {files[row].sha256: entries[row].path for split in ("train", "val") for row in rows[split]}
    pairs = [
        (entries[row].path, seen[files[row].sha256]) for row in rows["test"] if files[row].sha256 in seen
    ]
    if leaks := [" = ".join(shown(path.relative_to(folder)) for path in pair) for pair in pairs]:
        log.warning("%d test images are in train or val too: %s", len(leaks), ", ".join(leaks[:10]))

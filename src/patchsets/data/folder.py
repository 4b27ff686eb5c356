"""Your own images: one subfolder per class, or per split and class; any size, mode and file name."""

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from patchsets.data.class_folders import ClassFolders, find_images
from patchsets.data.image_files import as_one_mode, read_images
from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from patchsets.data.splitting import Examples, Fold, Folds, Splitting, divide
from workbench.common.errors import DataError, data_root
from workbench.common.limits import AboveZero
from workbench.portable.pixels import shown

log = logging.getLogger(__name__)


class Folder(ImageSets):
    """Images below each class's folder, decoded once and kept as bytes (8 GiB at most), as sets of patches.

    Where the class folders lie in `train/`, `val/` and `test/`, these are the splits; one that is missing is
    held out of train.
    Where every image is grey they stay grey, else all become RGB. Of an animation the first frame is taken.
    Files of other kinds, hidden ones, and those in no class are ignored, and the log says which. Images with
    the same pixels, under whatever names, are held out together. The training's seed does not change it.
    """

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        root: str | None,
        patch_size: int | None = 16,
        stride: int = 16,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        split_seed: int = 0,
        folds: Folds = None,
        fold: Fold = None,
        **sets: Any,
    ) -> None:
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        self.named_root = root
        self.splitting = Splitting(val_fraction, test_fraction, split_seed, folds, fold)

    def file_name(self, split: str, index: int) -> str:
        """Return the path of an example's file within the root."""
        return self.names[split][index]

    @property
    def root(self) -> Path:
        """The folder that holds the images. Raises ConfigError where none was named."""
        return data_root(self.named_root)

    @cached_property
    def found(self) -> ClassFolders:
        """The image files."""
        return find_images(self.root)

    def find_files(self) -> None:
        """Look which files there are; DataError where their folders cannot be classes or splits."""
        _ = self.found

    def read(self) -> dict[str, LabelledImages]:
        found = self.found
        self.classes = found.classes
        files = read_images(found.paths, self.root, smallest=self.patch_size or 1)
        pixels = as_one_mode([file.pixels for file in files])
        names = [shown(path.relative_to(self.root)) for path in found.paths]
        group = [file.sha256 for file in files]
        _check_twins(group, found.label, names)
        split = None if found.split is None else found.split.tolist()
        examples = Examples(names, found.label, found.classes, split, content=group)
        rows = divide(examples, self.splitting)
        _tell_shared(rows, group, names)
        self.names = {split: [names[row] for row in part] for split, part in rows.items()}
        return {
            split: labelled([pixels[row] for row in part], found.label[part]) for split, part in rows.items()
        }


def _check_twins(group: list[str], label: np.ndarray, names: list[str]) -> None:
    """Raise DataError naming every image that is in two classes: one of its labels is wrong."""
    first: dict[str, int] = {}
    twins = [
        f"{name}: the same image as {names[first[pixels]]}"
        for row, (pixels, name) in enumerate(zip(group, names, strict=True))
        if label[first.setdefault(pixels, row)] != label[row]
    ]
    if twins:
        raise DataError(
            f"data.root: {len(twins)} images are in two classes; keep each in one:\n  " + "\n  ".join(twins)
        )


def _tell_shared(rows: dict[str, np.ndarray], group: list[str], names: list[str]) -> None:
    """Warn of images that are in two splits: what is reached on them says nothing."""
    first: dict[str, int] = {}
    shared = []
    for part in rows.values():
        shared += [f"{names[row]} = {names[first[group[row]]]}" for row in part if group[row] in first]
        first |= {group[row]: row for row in part}
    if shared:
        log.warning("%d images are in two splits: %s", len(shared), ", ".join(shared[:10]))

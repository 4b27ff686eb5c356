"""Your own images: one subfolder per class, any size, mode and file name."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from patchsets.data.image_files import as_one_mode, read_images
from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from patchsets.data.splitting import split_groups
from workbench.common.errors import DataError
from workbench.common.limits import AboveZero
from workbench.common.workspace import data_root
from workbench.portable.pixels import is_image_name, shown

log = logging.getLogger(__name__)

ADVICE = "make one subfolder for each class and put its images there"


class Folder(ImageSets):
    """Images below each class's folder, decoded once and kept as bytes (8 GiB at most), as sets of patches.

    Where every image is grey they stay grey, else all become RGB. Of an animation the first frame is taken.
    Files of other kinds, hidden ones, and those in no class are ignored, and the log says which. Images with
    the same pixels, under whatever names, land in the same split. The training's seed does not change it.
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
        **sets: Any,
    ) -> None:
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        self.named_root = root
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self.split_seed = split_seed

    def file_name(self, split: str, index: int) -> str:
        """Return the path of an example's file within the root."""
        return self.names[split][index]

    @property
    def root(self) -> Path:
        """The folder that holds the images. Raises ConfigError where none was named."""
        return data_root(self.named_root)

    def find(self) -> dict[str, list[Path]]:
        """Return the image files of each class. Raises DataError where one has none."""
        if not self.root.is_dir():
            raise DataError(f"data.root: there is no folder {shown(self.root)}; {ADVICE}")
        entries = sorted(path for path in self.root.iterdir() if not path.name.startswith("."))
        found = {path.name: _files(path) for path in entries if path.is_dir()}
        images = {shown(Path(name)): [p for p in files if is_image_name(p)] for name, files in found.items()}
        if len(images) < 2:
            raise DataError(
                f"data.root: {shown(self.root)} has {len(images)} class folders "
                f"({', '.join(images)}); {ADVICE}"
            )
        if empty := [name for name, files in images.items() if not files]:
            raise DataError(
                f"data.root: no image in {', '.join(empty)} of {shown(self.root)}; fill or remove it"
            )
        ignored = [path for path in entries if not path.is_dir()]
        ignored += [path for files in found.values() for path in files if not is_image_name(path)]
        _tell_ignored([shown(path.relative_to(self.root)) for path in ignored])
        return images

    def read(self) -> dict[str, LabelledImages]:
        images = self.find()
        self.classes = list(images)
        label = np.repeat(np.arange(len(images)), [len(files) for files in images.values()])
        paths = [path for files in images.values() for path in files]
        files = read_images(paths, self.root, smallest=self.patch_size or 1)
        pixels = as_one_mode([file.pixels for file in files])
        names = [shown(path.relative_to(self.root)) for path in paths]
        group = [file.sha256 for file in files]
        _check_twins(group, label, names)
        rows = split_groups(group, label, **self.fractions, seed=self.split_seed)
        _check_shares(rows, label, group, self.classes)
        self.names = {split: [names[row] for row in part] for split, part in rows.items()}
        return {split: labelled([pixels[row] for row in part], label[part]) for split, part in rows.items()}


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder in a fixed order; hidden folders are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _tell_ignored(names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        log.info(
            "ignored %d files that are no images of a class: %s%s", len(names), ", ".join(names[:10]), more
        )


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


def _check_shares(
    rows: dict[str, np.ndarray], label: np.ndarray, group: list[str], classes: list[str]
) -> None:
    """Raise DataError naming every class that is missing from a split."""
    everywhere = set.intersection(*(set(label[part].tolist()) for part in rows.values()))
    different = np.bincount(
        [label[row] for row in {pixels: row for row, pixels in enumerate(group)}.values()]
    )
    if few := [f"{name} ({different[c]})" for c, name in enumerate(classes) if c not in everywhere]:
        raise DataError(
            f"data.root: too few different images to be in train, val and test: {', '.join(few)}; "
            "add some (3 are the least), or lower data.val_fraction and data.test_fraction"
        )

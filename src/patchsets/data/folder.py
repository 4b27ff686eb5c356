"""Your own images: one subfolder per class, or per split and class; any size, mode and file name."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from patchsets.data.class_folders import find_images
from patchsets.data.example_table import (
    ExampleTable,
    Labels,
    Wanted,
    find_table,
    groups_in,
    read_rows,
    read_table,
)
from patchsets.data.first_look import Look, look_at
from patchsets.data.image_files import usable
from patchsets.data.image_sets import ImageSets, LabelledImages
from patchsets.data.lazy_images import ImageFiles, stored
from patchsets.data.splitting import Examples, Fold, Folds, Splitting, all_tested, as_known, divide
from workbench.common.errors import ConfigError, DataError, data_root
from workbench.common.limits import AboveZero, ImageSize
from workbench.portable.pixels import Unusable, check_crop, check_smallest, is_image_name, resized, shown

log = logging.getLogger(__name__)


class Folder(ImageSets):
    """Images below each class's folder, as sets of patches.

    Where the class folders lie in `train/`, `val/` and `test/`, these are the splits; one that is missing is
    held out of train. With a `table`, a CSV, they lie anywhere below the root; it says which ones, and their
    `labels` (`example_table.py`).
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
        table: str | None = None,
        labels: Labels = "class",
        targets: list[str] | None = None,
        group: str | None = None,
        resize: ImageSize | None = None,
        crop: ImageSize | None = None,
        cache: Literal["none", "memory", "disk"] | None = None,
        **sets: Any,
    ) -> None:
        """`resize`: the pixels of the shorter side, or [height, width]; then `crop` takes the middle of it.

        `cache`: none decodes each batch when it is asked for, in the loader's workers; memory decodes all at
        the start (8 GiB at most), disk too, into a file that is mapped into memory. Without a word it is
        memory, with the fingerprint of version 0.1.
        """
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        self.named_root = root
        self.splitting = Splitting(val_fraction, test_fraction, split_seed, folds, fold)
        if table is None and (labels != "class" or targets):
            raise ConfigError("data.table: name the CSV that holds such labels (data.labels, data.targets)")
        self.named_table, self.wanted = table, Wanted(labels, targets or (), group)
        self.resize, self.cache = resize, cache
        self.channels: int | None = None  # as the images are
        self.crop = [crop, crop] if isinstance(crop, int) else crop

    def file_name(self, split: str, index: int) -> str:
        """Return the path of an example's file within the root."""
        return self.names[split][index]

    @property
    def root(self) -> Path:
        """The folder that holds the images. Raises ConfigError where none was named."""
        return data_root(self.named_root)

    def find_files(self) -> None:
        """Look at all files and divide them; DataError where they cannot be used, or not so divided."""
        _ = self.found, self.looks, self.rows
        super().find_files()

    def _to_augment(self) -> tuple[Sequence[int], tuple[int, int]]:
        height, width = min(self._sizes(), key=lambda size: size[0] * size[1])
        return [self._channels()], (height, width)

    def _channels(self) -> int:
        return self.channels or (3 if any(look.is_colour for look in self.looks) else 1)

    @cached_property
    def found(self) -> ExampleTable:
        """The image files, and what is known of each. Raises DataError naming every mistake in a table."""
        if self.named_table is None:
            found = find_images(self.root)
            names = self._names(found.paths)
            split = None if found.split is None else found.split.tolist()
            group = groups_in(names, self.wanted.group) if self.wanted.group else None
            return ExampleTable(
                Examples(names, found.label, found.classes, split, group), found.paths, [], []
            )
        file = find_table(self.named_table, self.root)
        table = read_table(read_rows(file), self.wanted, self._find)
        if table.wrong:
            raise DataError(
                f"data.table: {shown(file)} has mistakes ({len(table.wrong)}): {'; '.join(table.wrong)}"
            )
        return replace(table, examples=replace(table.examples, name=self._names(table.paths)))

    def _find(self, name: str) -> Path | None:
        path = self.root / name
        is_below = path.is_relative_to(self.root) and ".." not in path.parts
        return path if is_below and is_image_name(path) and path.is_file() else None

    def _names(self, paths: Sequence[Path]) -> list[str]:
        return [shown(path.relative_to(self.root)) for path in paths]

    @cached_property
    def looks(self) -> list[Look]:
        """What each of the files holds."""
        seen = [self._fitting(look) for look in look_at(self.found.paths, self.root)]
        return usable(seen, self.found.paths, self.root)

    def _fitting(self, look: Look | Unusable) -> Look | Unusable:
        """Return a look, or why the image is too small for a crop or a patch."""
        if isinstance(look, Unusable):
            return look
        try:
            size = resized(look.size, self.resize)
            if self.crop is not None:
                check_crop(size, self.crop)
            check_smallest(self.crop or size, self.cutter.smallest if self.cutter else 1)
        except Unusable as reason:
            return reason
        return look

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Which of the files are of each split."""
        content = [look.sha256 for look in self.looks]
        examples = replace(self.found.examples, content=content)
        self.classes, self.targets = list(examples.classes), self.found.targets
        names = list(examples.name)
        if self.classes:
            _check_twins(content, examples.label, names)
        rows = divide(examples, self.splitting)
        _tell_shared(rows, content, names)
        self.names = {split: [names[row] for row in part] for split, part in rows.items()}
        return rows

    def test_all(self, classes: Sequence[str] | None, learned: dict[str, Any]) -> None:
        """Let all images be the test split, with the classes and the channels of a trained network."""
        examples = self.found.examples
        self.classes = list(examples.classes if classes is None else classes)
        self.targets = self.found.targets
        label = as_known(examples.label, examples.classes, classes)
        self.found = replace(self.found, examples=replace(examples, label=label, classes=self.classes))
        self.rows = all_tested(len(label))
        self.names = {split: list(examples.name) for split in self.rows}
        self.cache = self.cache or "none"
        self._take_channels(learned)

    def _take_channels(self, learned: dict[str, Any]) -> None:
        """Make grey images coloured for a network of coloured ones; DataError for the other way round."""
        asked = learned.get("patch_shape", [learned.get("in_features")])[0]
        is_vector = self.cutter is not None and "patch_shape" not in learned
        widths = {self.cutter.num_features(c) if self.cutter and is_vector else c: c for c in (1, 3)}
        self.channels = widths.get(asked)
        if self.channels == 1 and any(look.is_colour for look in self.looks):
            raise DataError("data.root: the network knows grey images only, and some of these are coloured")

    def read(self) -> dict[str, LabelledImages]:
        files = self._files()
        images = stored(files) if self.cache == "disk" else files
        rows, label = self.rows, torch.from_numpy(self.found.examples.label)
        self.contents = {split: files.contents[part] for split, part in rows.items()}
        splits = {}
        for split, part in rows.items():
            taken: Any = images.only(torch.from_numpy(part))
            if self.cache in (None, "memory"):
                taken = taken.in_memory()
            splits[split] = LabelledImages(taken, label[part], torch.arange(len(part)))
        del self.found, self.looks  # the paths of a large folder take much memory
        return splits

    def _sizes(self) -> Sequence[Sequence[int]]:
        return [self.crop or resized(look.size, self.resize) for look in self.looks]

    def _files(self) -> ImageFiles:
        hashes = b"".join(bytes.fromhex(look.sha256) for look in self.looks)
        return ImageFiles(
            size=torch.tensor(self._sizes()),
            contents=torch.tensor(np.frombuffer(hashes, np.uint8).reshape(-1, 32)),
            channels=self._channels(),
            root=str(self.root),
            names=[str(path.relative_to(self.root)) for path in self.found.paths],
            stamps=torch.tensor([look.stamp for look in self.looks]),
            resize=self.resize,
            crop=self.crop,
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what ImageSets does, and what is done to each image when it is read."""
        return super().fingerprint() | self.fitting()

    def _contents(self, split: str) -> Tensor:
        """Return hashes of the files' pixels, which are the same wherever they are kept."""
        return super()._contents(split) if self.cache is None else self.contents[split]

    def fitting(self) -> dict[str, Any]:
        """Return what is done to each image when it is read."""
        done = {"resize": self.resize, "crop": self.crop}
        return {name: value for name, value in done.items() if value is not None}


def _check_twins(group: list[str], label: np.ndarray, names: list[str]) -> None:
    """Raise DataError naming every image that is in two classes: one of its labels is wrong."""
    first: dict[str, int] = {}
    twins = [
        f"{name}: the same image as {names[first[pixels]]}"
        for row, (pixels, name) in enumerate(zip(group, names, strict=True))
        if (label[first.setdefault(pixels, row)] != label[row]).any()
    ]
    if twins:
        raise DataError(
            f"data.root: images with two labels ({len(twins)}), keep one of each: {'; '.join(twins)}"
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

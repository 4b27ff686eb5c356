"""Labelled images: they travel whole, and become sets of patches on the device, or stay whole."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from patchsets.data.augmentation import Augment, Augmentation, augmentation
from patchsets.data.batch import Batch, ImageBatch
from patchsets.data.draws import example_keys
from patchsets.data.images import Images, Preprocess, preprocessed
from patchsets.data.patches import Edge, Number, PatchCount, PatchCutter
from patchsets.set_module import Sets
from workbench.common.errors import ConfigError
from workbench.common.limits import AboveZero
from workbench.train.loading import SplitLoaders, hash_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledImages:
    """Images, their classes `[B]` and rows in the split `[B]`; those of a whole split may lie on disk."""

    images: Any  # Images; of a split also LazyImages, of which `take` gives some as Images
    label: Tensor
    index: Tensor

    def take(self, rows: Tensor) -> "LabelledImages":
        """Return some of them."""
        return LabelledImages(self.images.take(rows), self.label[rows], self.index[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LabelledImages":
        """Move them; Lightning calls this for every batch."""
        return LabelledImages(
            self.images.to(device, non_blocking),
            self.label.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "LabelledImages":
        """Pin them; a loader calls this where there is a GPU."""
        return replace(self, images=self.images.pin_memory())


class ImageSets(SplitLoaders):
    """Images to sets of patches: each epoch of training draws `patches` of each anew, evaluation takes all.

    `patches`: a number, a range [low, high] drawn per image, or None for all. With a `patch_size` of None
    images stay whole (`ImageBatch`); they have one size then. A subclass says in `read` what the three splits
    are, and sets `classes`. `edge`, `coordinates` and `min_contrast` are those of PatchCutter. `augment`
    changes whole training images `[B, C, H, W]` in 0..1 before they are cut, `augment_patches` patches
    `[T, C, h, w]` after it, both on their device: a word, a callable, or a list of both (augmentation.py).
    They draw from torch's generator, which a run seeds for each batch.
    """

    classes: list[str]
    epoch = 0  # which a run says before each batch; with the seed it decides which patches are drawn
    patch_shape: tuple[int, int, int]  # channels, height, width; known after setup
    as_patches = False  # whether batches hold patches as they are, not as vectors; a task says so

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        patch_size: int | None,
        stride: int,
        patches: PatchCount = None,
        coordinates: bool = True,
        min_contrast: float = 0.0,
        num_workers: int = 0,
        augment: Augment = None,
        edge: Edge = "drop",
        augment_patches: Augment = None,
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        for name, value in {"patch_size": patch_size, "stride": stride}.items():
            if value is not None and value < 1:
                raise ConfigError(f"data.{name}: {value} is not a number above 0")
        self.patch_size = patch_size
        self.patches: Number = (patches[0], patches[1]) if isinstance(patches, list) else patches
        self.cutter = (
            None if patch_size is None else PatchCutter(patch_size, stride, coordinates, min_contrast, edge)
        )
        self.num_workers = num_workers
        self.augment = augmentation(augment, "data.augment")
        self.augment_patches = augmentation(augment_patches, "data.augment_patches")
        if self.augment_patches and self.cutter is None:
            raise ConfigError("data.augment_patches: data.patch_size=null makes none; take data.augment")
        self.splits: dict[str, LabelledImages] = {}
        self.preprocessing: list[Preprocess] = []  # done already to the images of the splits

    def read(self) -> dict[str, LabelledImages]:
        """Read the images and split them into train, val and test."""
        raise NotImplementedError

    def find_files(self) -> None:
        """Try the augmentation before anything is written; ConfigError where it cannot be."""
        channels, size = self._to_augment()
        if self.augment:
            self.augment.try_on(*((c, *size) for c in channels))
        if self.augment_patches and self.cutter:
            self.augment_patches.try_on(*((c, self.cutter.size, self.cutter.size) for c in channels))

    def _to_augment(self) -> tuple[Sequence[int], tuple[int, int]]:
        """Return the channels that images may have, and a size of one, as far as is known without reading."""
        return (3, 1), (32, 32)

    def setup(self, stage: str | None = None) -> None:
        """Read once, however often Lightning asks."""
        if not self.splits:
            splits = self.read()
            self._check_sizes(splits)
            self.splits = splits
            channels = splits["train"].images.channels
            self.num_features = self.cutter.num_features(channels) if self.cutter else channels
            if self.cutter:
                self.patch_shape = (channels, self.cutter.size, self.cutter.size)
                self._tell_coverage(self.cutter)

    def _check_sizes(self, splits: dict[str, LabelledImages]) -> None:
        size = torch.cat([split.images.size for split in splits.values()])
        smallest, largest = int(size.min()), int(size.max())
        if self.patch_size is None and bool((size != size[0]).any()):
            raise ConfigError(
                f"data.patch_size: null leaves images whole, which must all be of one size then; these have "
                f"{smallest} to {largest} pixels: give a patch_size, or make them equal "
                "(data=folder does it: data.resize=[height,width], or data.resize= and data.crop=)"
            )
        if self.cutter is not None and self.cutter.smallest > smallest:
            raise ConfigError(
                f"data.patch_size: {self.patch_size} pixels; the smallest image has only {smallest} "
                "(data.edge=pad would pad it)"
            )

    def _tell_coverage(self, cutter: PatchCutter) -> None:
        """Say how much of the images is ever shown."""
        share = cutter.coverage(torch.cat([split.images.size for split in self.splits.values()]))
        self.coverage = round(share.mean().item(), 4)
        least = "" if share.min() == share.max() else f", of the worst image {share.min():.1%}"
        more = "" if self.coverage == 1 or cutter.edge != "drop" else " (data.edge=shift shows the rest)"
        log.info(
            "patches of %d pixels every %d show %.1f%% of the pixels%s%s",
            cutter.size, cutter.stride, 100 * self.coverage, least, more,
        )  # fmt: skip

    def preprocess(self, name: str, version: int, function: Preprocess) -> None:
        """Put what `function` makes of each image in its place; kept in the cache, by name and version."""
        for split, part in self.splits.items():
            here = part.images.take(torch.arange(len(part.label)))  # all of them
            images = preprocessed(here, name, version, function)
            self.splits[split] = replace(part, images=images)
        self.preprocessing.append(function)

    def make_batch(self, raw: Any, training: bool, patches: int | None = None) -> Batch | ImageBatch:
        """Cut the patches; `patches` shows just so many of each image, also in evaluation."""
        number = patches if patches is not None else self.patches if training else None
        key_B = example_keys(self.seed, self.epoch if training else 0, raw.index)
        if not isinstance(raw, LabelledImages):  # EncodedRows, of what an encoder has seen already
            split: Any = self.splits[raw.split]
            return split.batch(raw, number, key_B, whole=self.cutter is None)
        if self.cutter is None:
            images_BCHW = raw.images.stacked()
            if training and self.augment:
                images_BCHW = self.augment(images_BCHW)
            return ImageBatch(images_BCHW, raw.label, raw.index)
        if training and self.augment:
            sets, positions = self._cut_augmented(self.cutter, self.augment, raw.images, number, key_B)
        else:
            sets, positions = self.cutter.cut(raw.images, number, key_B)
        if training and self.augment_patches:
            sets = sets.with_values(self.augment_patches(sets.values))
        return Batch(sets if self.as_patches else sets.as_vectors(), raw.label, raw.index, positions)

    def _cut_augmented(
        self, cutter: PatchCutter, augment: Augmentation, images: Images, number: Number, key_B: Tensor
    ) -> tuple[Sets, Tensor]:
        cut, first = [], 0
        for part in augment.of_images(images):
            cut.append(cutter.cut(part, number, key_B[first : first + len(part)]))
            first += len(part)
        sets, positions = zip(*cut, strict=True)
        return Sets.cat(sets), torch.cat(positions)

    def image(self, split: str, index: int) -> np.ndarray:
        """Return an image of a split, `[H, W]` or `[H, W, C]`."""
        return self.splits[split].images.array(index)

    def fingerprint(self) -> dict[str, Any]:
        """Return the classes; for each split its counts by class, and a hash of sizes, pixels and labels.

        `coverage` is the share of the pixels that lie in a patch.
        """
        return {
            "classes": self.classes,
            **({"coverage": self.coverage} if self.cutter else {}),
            **{name: self._describe(name, split) for name, split in self.splits.items()},
        }

    def _describe(self, name: str, split: LabelledImages) -> dict[str, Any]:
        is_one = split.label.dim() == 1 and self.classes
        counted = torch.bincount(split.label, minlength=len(self.classes)) if is_one else split.label.sum(0)
        counts = counted.int().tolist() if self.classes else []
        sha256 = hash_of(split.images.size, self._contents(name), split.label)
        return {"counts": dict(zip(self.classes, counts, strict=True)), "sha256": sha256}

    def _contents(self, split: str) -> Tensor:
        """Return what the fingerprint of a split is made of: its pixels."""
        pixels: Tensor = self.splits[split].images.pixels
        return pixels


def labelled(arrays: Any, label: np.ndarray) -> LabelledImages:
    """Put arrays of uint8 and their classes together."""
    label_B = torch.from_numpy(label.astype(np.int64))
    return LabelledImages(Images.from_arrays(arrays), label_B, torch.arange(len(label_B)))

"""Sets whose elements are vectors already: what bags and synthetic sets share.

Shapes: B sets, T elements of all of them, D features.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from patchsets.data.batch import Batch
from patchsets.set_module import Sets
from workbench.common.limits import AboveZero
from workbench.train.loading import SplitLoaders, hash_of


@dataclass(frozen=True)
class LabelledSets:
    """Elements `[T, D]` (uint8 is scaled later), sizes, labels, rows `[B]`, what each element is `[T]`."""

    values: Tensor
    lengths: Tensor
    label: Tensor
    element_label: Tensor
    index: Tensor

    def take(self, rows: Tensor) -> "LabelledSets":
        """Return some of the sets, packed anew in one step."""
        lengths = self.lengths[rows]
        begin = (self.lengths.cumsum(0) - self.lengths)[rows]
        place = torch.arange(int(lengths.sum())) - torch.repeat_interleave(
            lengths.cumsum(0) - lengths, lengths
        )
        element = torch.repeat_interleave(begin, lengths) + place
        return LabelledSets(
            self.values[element], lengths, self.label[rows], self.element_label[element], self.index[rows]
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LabelledSets":
        """Move them; Lightning calls this for every batch."""
        parts = (getattr(self, part.name) for part in fields(self))
        return LabelledSets(*(part.to(device, non_blocking=non_blocking) for part in parts))

    def pin_memory(self) -> "LabelledSets":
        """Pin the elements; a loader calls this where there is a GPU."""
        return replace(self, values=self.values.pin_memory())


class VectorSets(SplitLoaders):
    """Sets of vectors; a subclass says in `read` what the three splits are, and sets `classes`."""

    classes: list[str]

    def __init__(self, batch_size: AboveZero, seed: int, num_workers: int = 0) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.splits: dict[str, LabelledSets] = {}

    def read(self) -> dict[str, LabelledSets]:
        """Read or make the sets of train, val and test."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read once, however often Lightning asks."""
        if not self.splits:
            self.splits = self.read()
            self.num_features = self.splits["train"].values.shape[1]

    def make_batch(self, raw: LabelledSets, training: bool) -> Batch:
        """Make sets of float values; bytes are scaled to 0 to 1."""
        values = raw.values.float() / 255 if raw.values.dtype == torch.uint8 else raw.values
        return Batch(Sets(values, raw.lengths), raw.label, raw.index, element_label=raw.element_label)

    def image(self, split: str, index: int) -> np.ndarray | None:
        """Return None: a vector has no image."""
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Return for each split its number of sets and the hash of sizes, elements and labels."""
        return {"classes": self.classes, **{name: _describe(split) for name, split in self.splits.items()}}


def _describe(split: LabelledSets) -> dict[str, Any]:
    return {"sets": len(split.label), "sha256": hash_of(split.lengths, split.values, split.label)}

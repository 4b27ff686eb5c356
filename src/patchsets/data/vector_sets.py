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

TO_FLOAT = (torch.uint8, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class LabelledSets:
    """Elements `[T, D]` (uint8 is scaled later), sizes, labels, rows `[B]`, what is known of each element."""

    values: Tensor
    lengths: Tensor
    label: Tensor
    element_label: Tensor | None  # [T]
    index: Tensor
    positions: Tensor | None = None  # [T, 2] as in Batch

    def take(self, rows: Tensor) -> "LabelledSets":
        """Return some of the sets, packed anew in one step."""
        lengths = self.lengths[rows]
        begin = (self.lengths.cumsum(0) - self.lengths)[rows]
        place = torch.arange(int(lengths.sum())) - torch.repeat_interleave(
            lengths.cumsum(0) - lengths, lengths
        )
        element = torch.repeat_interleave(begin, lengths) + place
        known, where = (None if p is None else p[element] for p in (self.element_label, self.positions))
        return LabelledSets(self.values[element], lengths, self.label[rows], known, self.index[rows], where)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LabelledSets":
        """Move them; Lightning calls this for every batch."""
        parts: dict[str, Tensor | None] = {part.name: getattr(self, part.name) for part in fields(self)}
        known = {name: part for name, part in parts.items() if part is not None}
        return replace(self, **{n: p.to(device, non_blocking=non_blocking) for n, p in known.items()})

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
        values = raw.values.float() if raw.values.dtype in TO_FLOAT else raw.values
        if raw.values.dtype == torch.uint8:
            values = values / 255
        return Batch(Sets(values, raw.lengths), raw.label, raw.index, raw.positions, raw.element_label)

    def image(self, split: str, index: int) -> np.ndarray | None:
        """Return None: a vector has no image."""
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Return for each split its number of sets and the hash of sizes, elements and labels."""
        return {"classes": self.classes, **{name: _describe(split) for name, split in self.splits.items()}}


def _describe(split: LabelledSets) -> dict[str, Any]:
    return {"sets": len(split.label), "sha256": hash_of(split.lengths, split.values, split.label)}

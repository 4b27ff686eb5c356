"""Bags of features that another program computed: one file for each bag, and one CSV of bags.

Shapes: B bags, T rows (patches) of all of them, D features.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from patchsets.data.example_table import ExampleTable, Labels, Wanted, read_table
from patchsets.data.feature_folder import Bag, FeatureFolder
from patchsets.data.splitting import Fold, Folds, Splitting, all_tested, as_known, divide
from patchsets.data.vector_sets import LabelledSets, VectorSets
from workbench.common.errors import DataError, data_root
from workbench.common.limits import AboveZero, Share
from workbench.portable.pixels import shown

IN_MEMORY = 512 * 2**20  # bytes of all features together that are read once and kept


@dataclass(frozen=True)
class FeatureBags:
    """The bags of a split, whose features stay in their files until they are taken."""

    bags: Sequence[Bag]
    label: Tensor
    width: int
    dtype: torch.dtype

    def take(self, rows: Tensor) -> LabelledSets:
        """Read some of the bags, one after the other."""
        bags = [self.bags[row] for row in rows.tolist()]
        lengths = torch.tensor([bag.seen["rows"] for bag in bags])
        values = torch.empty(int(lengths.sum()), self.width, dtype=self.dtype)
        if get_worker_info() is not None:
            values.share_memory_()  # empty: what is read needs no copy on its way
        parts = zip(bags, values.split(lengths.tolist()), strict=True)
        beside = [bag.read(features) for bag, features in parts]
        known = {name: torch.cat([each[name] for each in beside]) for name in (beside[0] if beside else ())}
        label = known["patch_labels"].flatten().long() if "patch_labels" in known else None
        positions = known["coords"].flip(1) if "coords" in known else None  # they are (x, y)
        return LabelledSets(values, lengths, self.label[rows], label, rows, positions)


class Features(VectorSets):
    """Bags of features in files of their own, and a CSV of their labels.

    A file is `.h5`, `.npz`, `.npy`, `.pt` (plain tensors) or `.safetensors`, and holds `features` `[n, D]`,
    where it has them `coords` `[n, 2]` (x, y) and `patch_labels` `[n]`. `root` holds these files, or is a
    folder of CLAM (h5_files/, pt_files/), TRIDENT (features_<encoder>/) or torchmil (features/, coords/,
    patch_labels/, labels/). `table` is the only CSV in there where it is not named; see `example_table.py`
    for its columns, `labels`, `targets` and `group`. All files are looked at before a run begins; a bag is
    read when a batch wants it, where all together are too large to be kept in memory (512 MiB).
    """

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        root: str | None,
        table: str | None = None,
        labels: Labels = "class",
        targets: list[str] | None = None,
        group: str | None = None,
        val_fraction: Share = 0.15,
        test_fraction: Share = 0.15,
        split_seed: int = 0,
        folds: Folds = None,
        fold: Fold = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers)
        self.named_root, self.named_table = root, table
        self.wanted = Wanted(labels, targets or (), group)
        self.splitting = Splitting(val_fraction, test_fraction, split_seed, folds, fold)

    @cached_property
    def layout(self) -> FeatureFolder:
        """Where the files lie."""
        return FeatureFolder(data_root(self.named_root, "folder holds the bags of features"))

    @cached_property
    def table(self) -> ExampleTable:
        """What the table says of the bags."""
        return read_table(self.layout.rows(self.named_table, self.wanted), self.wanted, self.layout.find)

    @cached_property
    def bags(self) -> list[Bag]:
        """The bags of the table. Raises DataError naming every mistake in the table and its files."""
        bags, wrong = self.layout.look(self.table)
        if wrong := [*self.table.wrong, *wrong]:
            raise DataError(
                f"data.root: {shown(self.layout.root)} has mistakes ({len(wrong)}): {'; '.join(wrong)}"
            )
        return bags

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """The rows of the table in each split."""
        return divide(self.table.examples, self.splitting)

    def find_files(self) -> None:
        """Look at table and files, and divide the bags; DataError or ConfigError where that cannot be."""
        _ = self.bags, self.rows

    def test_all(self, classes: Sequence[str] | None, learned: dict[str, Any]) -> None:
        """Let all bags be the test split, with the classes of a trained network."""
        table, count = self.table, len(self.bags)
        label = as_known(table.examples.label, table.examples.classes, classes)
        known = table.examples.classes if classes is None else list(classes)
        self.table = replace(table, examples=replace(table.examples, label=label, classes=known))
        self.rows = all_tested(count)

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.classes, self.targets = list(self.table.examples.classes), self.table.targets
        self.num_features = self.bags[0].seen["width"]
        kinds = {bag.seen["dtype"] for bag in self.bags}
        halves = kinds <= {"float16"} or kinds <= {"bfloat16"}
        dtype = getattr(torch, kinds.pop()) if halves else torch.float32
        label = torch.from_numpy(self.table.examples.label)
        parts = {
            split: FeatureBags([self.bags[row] for row in part], label[part], self.num_features, dtype)
            for split, part in self.rows.items()
        }
        size = sum(bag.seen["rows"] for bag in self.bags) * self.num_features * dtype.itemsize
        self.splits: dict[str, Any] = {
            split: part.take(torch.arange(len(part.bags))) if size <= IN_MEMORY else part
            for split, part in parts.items()
        }

    def file_name(self, split: str, index: int) -> str:
        """Return the path of a bag within the root."""
        return self.bags[self.rows[split][index]].name

    def fingerprint(self) -> dict[str, Any]:
        """Return for each split its bags, their rows, and a hash of names, sizes, labels and files' ends."""
        return {"classes": self.classes, **{split: self._describe(part) for split, part in self.rows.items()}}

    def _describe(self, part: np.ndarray) -> dict[str, Any]:
        bags = [self.bags[row] for row in part]
        digest = hashlib.sha256(self.table.examples.label[part].tobytes())
        for bag in bags:
            digest.update(f"{bag.name} {sorted(bag.seen.items())}".encode())
        rows = sum(bag.seen["rows"] for bag in bags)
        return {"sets": len(bags), "rows": rows, "sha256": digest.hexdigest()}

"""A classic data set of multiple-instance learning in one file, with its published folds."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from patchsets.data.splitting import Examples, Splitting, all_tested, divide
from patchsets.data.vector_sets import LabelledSets, VectorSets
from workbench.common.errors import ConfigError, DataError, data_root
from workbench.common.limits import AboveZero, Share
from workbench.portable.pixels import shown

KEYS = ("values", "lengths", "label", "test")


class MilFile(VectorSets):
    """Bags of vectors in an `.npz` of `values` `[T, D]`, `lengths` `[B]`, `label` `[B]`, `test` `[R, F, B]`.

    `test` says which bags are tested in each fold of each repetition, each bag in one of them. Of the others
    a `val_fraction` is held out by `split_seed`. Features that are `standardized` have mean 0 and deviation 1
    over the elements of the training bags.
    """

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        root: str | None,
        fold: int = 0,
        repetition: int = 0,
        val_fraction: Share = 0.0,
        split_seed: int = 0,
        standardized: bool = True,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers)
        self.named_root = root
        self.repetition, self.standardized = repetition, standardized
        self.splitting = Splitting(val_fraction, split_seed=split_seed, fold=fold)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """What the file holds. Raises DataError, with all that is wrong with it."""
        return read_mil(data_root(self.named_root, "file holds the bags"))

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """The bags of each split."""
        test_RFB, label = self.arrays["test"], self.arrays["label"]
        if not 0 <= self.repetition < len(test_RFB):
            raise ConfigError(f"data.repetition: {self.repetition} is not from 0 to {len(test_RFB) - 1}")
        names = [f"bag {bag}" for bag in range(len(label))]
        self.classes = [str(name) for name in np.unique(label)]
        place = np.unique(label, return_inverse=True)[1]
        fold = test_RFB[self.repetition].argmax(axis=0).tolist()
        return divide(Examples(names, place, self.classes, fold=fold), self.splitting)

    def find_files(self) -> None:
        """Read the file and look whether it has this fold; DataError or ConfigError where not."""
        _ = self.rows

    def test_all(self, classes: Sequence[str] | None, learned: dict[str, Any]) -> None:
        """Let all bags be the test split of a network that was trained on another file."""
        if self.standardized:
            raise DataError(
                "data.root: the mean and deviation of the training bags were not kept, so the network "
                "cannot judge another file; train it with data.standardized=false"
            )
        self.classes = [str(name) for name in np.unique(self.arrays["label"])]
        self.rows = all_tested(len(self.arrays["label"]))

    def read(self) -> dict[str, LabelledSets]:
        values, lengths = torch.from_numpy(self.arrays["values"]), torch.from_numpy(self.arrays["lengths"])
        label = torch.from_numpy(np.unique(self.arrays["label"], return_inverse=True)[1])
        unknown = torch.zeros(len(values), dtype=torch.int64)
        every = LabelledSets(values, lengths, label, unknown, torch.arange(len(lengths)))
        parts = {split: every.take(torch.from_numpy(part)) for split, part in self.rows.items()}
        if self.standardized:
            deviation, mean = torch.std_mean(parts["train"].values, dim=0, correction=0)
            scale = torch.where(deviation > 0, deviation, 1.0)
            for split, part in parts.items():
                parts[split] = replace(part, values=(part.values - mean) / scale)
        return {split: replace(part, index=torch.arange(len(part.label))) for split, part in parts.items()}

    def file_name(self, split: str, index: int) -> str:
        """Return which bag of the file an example is."""
        return f"bag {self.rows[split][index]}"


def read_mil(path: Path) -> dict[str, np.ndarray]:
    """Read such a file whole. Raises DataError, naming all that is wrong."""
    try:
        with path.open("rb") as stream, np.load(stream) as file:  # which leaves a broken path open
            arrays = {name: file[name] for name in KEYS if name in file}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"data.root: {shown(path)} cannot be read: {error}") from error
    if lacking := [name for name in KEYS if name not in arrays]:
        raise DataError(f"data.root: {shown(path)} has no {', '.join(lacking)}; it needs {', '.join(KEYS)}")
    if wrong := _mistakes(**arrays):
        raise DataError(f"data.root: {shown(path)}: {'; '.join(wrong)}")
    arrays["values"] = arrays["values"].astype(np.float32, copy=False)
    arrays["lengths"] = arrays["lengths"].astype(np.int64, copy=False)
    return arrays


def _mistakes(values: np.ndarray, lengths: np.ndarray, label: np.ndarray, test: np.ndarray) -> list[str]:
    bags = len(lengths)
    wrong = []
    if values.ndim != 2 or lengths.sum() != len(values):
        wrong.append(f"values are {list(values.shape)}, and lengths add up to {lengths.sum()}")
    if label.shape != (bags,):
        wrong.append(f"label is {list(label.shape)} for {bags} bags")
    if test.ndim != 3 or test.shape[2] != bags:
        wrong.append(f"test is {list(test.shape)}, not [repetitions, folds, {bags}]")
    elif (test.sum(axis=1) != 1).any():
        bag = int((test.sum(axis=1) != 1).nonzero()[1][0])
        wrong.append(f"bag {bag} is not tested once in every repetition")
    if len(empty := np.flatnonzero(lengths < 1)):
        wrong.append(f"bags without rows: {', '.join(map(str, empty))}")
    broken: Any = np.flatnonzero(~np.isfinite(values).all(axis=-1)) if values.ndim == 2 else []
    if len(broken):
        wrong.append(f"NaN or infinite numbers in rows {', '.join(map(str, broken))} of values")
    return wrong

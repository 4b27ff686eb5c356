"""A needle in a set: synthetic sets whose best possible classification is known in closed form.

In half of the sets R elements, anywhere, have their first feature shifted by Delta. With the likelihood ratio
of one element lr(x) = exp(Delta x - Delta^2 / 2), that of a set is e_R(lr_1 .. lr_n) / C(n, R), e_R being the
elementary symmetric polynomial. No network can rank sets better than this ratio does.

The largest of a few numbers: the first experiment of the Set Transformer paper (Lee et al. 2019, 5.1).
"""

from math import comb, log
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from patchsets.data.batch import Batch
from patchsets.data.draws import example_keys, uniform
from patchsets.data.vector_sets import LabelledSets, VectorSets
from patchsets.set_module import Sets
from workbench.common.errors import ConfigError
from workbench.common.limits import AboveZero
from workbench.train.loading import BatchedRows, loader


class Needle(VectorSets):
    """Sets of `low` to `high` normal vectors; in half of the sets `shifted` are moved by `shift` sigma."""

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        train_sets: int = 4000,
        val_sets: int = 1000,
        test_sets: int = 5000,
        features: int = 8,
        shifted: int = 3,
        shift: float = 2.0,
        low: int = 15,
        high: int = 45,
        data_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers)
        if not 0 < shifted <= low <= high:
            raise ConfigError(f"data: 0 < shifted ({shifted}) <= low ({low}) <= high ({high}) does not hold")
        self.classes = ["nothing shifted", f"{shifted} shifted"]
        self.sets = {"train": train_sets, "val": val_sets, "test": test_sets}
        self.features, self.shifted, self.shift = features, shifted, shift
        self.low, self.high = low, high
        self.data_seed = data_seed

    def read(self) -> dict[str, LabelledSets]:
        random = np.random.default_rng(self.data_seed)
        return {split: self._make(count, random) for split, count in self.sets.items()}

    def _make(self, count: int, random: np.random.Generator) -> LabelledSets:
        sizes = random.integers(self.low, self.high + 1, count)
        label = np.arange(count) % 2
        values = random.standard_normal((sizes.sum(), self.features), dtype=np.float32)
        moved = np.concatenate(
            [random.permutation(size) < self.shifted * has for size, has in zip(sizes, label, strict=True)]
        )
        values[moved, 0] += self.shift
        parts = (values, sizes, label, moved.astype(np.int64), np.arange(count))
        return LabelledSets(*map(torch.from_numpy, parts))

    def log_likelihood_ratio(self, split: str) -> np.ndarray:
        """Return the logarithm of the closed form for each set of a split `[B]`: the best score there is."""
        sets = self.splits[split]
        first = sets.values[:, 0].double().numpy()
        ratio = np.exp(self.shift * first - self.shift**2 / 2)
        parts = np.split(ratio, sets.lengths.cumsum(0)[:-1].numpy())
        return np.array(
            [log(symmetric_polynomial(x, self.shifted)) - log(comb(len(x), self.shifted)) for x in parts]
        )


def symmetric_polynomial(x: np.ndarray, degree: int) -> float:
    """Return e_degree(x_1 .. x_n), the sum of all products of `degree` different elements."""
    e = np.zeros(degree + 1)
    e[0] = 1
    for value in x:
        e[1:] += value * e[:-1].copy()
    return float(e[degree])


LARGEST_SET = 10
HIGHEST = 100.0


class MaxRegression(VectorSets):
    """Sets of 1 to 10 numbers, uniform from 0 to 100; each epoch draws other training sets."""

    epoch = 0  # which a run says before each batch

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        steps_per_epoch: int = 1000,
        test_sets: int = 20_000,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers)
        self.classes = []
        self.steps_per_epoch = steps_per_epoch
        self.test_sets = test_sets

    def read(self) -> dict[str, LabelledSets]:
        counts = {"train": 1, "val": self.test_sets // 10, "test": self.test_sets}
        return {split: _held_out(count, place) for place, (split, count) in enumerate(counts.items())}

    def train_dataloader(self) -> DataLoader[Any]:
        """Return as many rows as an epoch has sets; `make_batch` draws the sets themselves."""
        rows = BatchedRows(self.steps_per_epoch * self.batch_size, _rows)
        return loader(rows, self.batch_size, self.num_workers, None)

    def make_batch(self, raw: Any, training: bool) -> Batch:
        """Draw a training batch on the device; take a held-out one as it is."""
        if not training:
            return super().make_batch(raw, training)
        numbers, mask = draw(example_keys(self.seed, self.epoch, raw))
        return Batch(Sets.from_padded(numbers, mask), largest(numbers, mask), raw)


def draw(key_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a set for each key: numbers `[B, 10, 1]` and which of them belong `[B, 10]`."""
    drawn = uniform(key_B, LARGEST_SET + 1)
    sizes = (drawn[:, -1:] * LARGEST_SET).long() + 1
    return drawn[:, :-1, None] * HIGHEST, torch.arange(LARGEST_SET, device=key_B.device) < sizes


def largest(numbers: Tensor, mask: Tensor) -> Tensor:
    """Return the largest number of each set `[B]`."""
    return numbers.squeeze(2).masked_fill(~mask, -1).amax(dim=1)


def _rows(rows: Tensor) -> Tensor:
    return rows


def _held_out(count: int, seed: int) -> LabelledSets:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(count, LARGEST_SET, 1, generator=generator) * HIGHEST
    mask = torch.arange(LARGEST_SET) < torch.randint(1, LARGEST_SET + 1, (count, 1), generator=generator)
    values = numbers[mask]
    return LabelledSets(
        values, mask.sum(1), largest(numbers, mask), torch.zeros(len(values)), torch.arange(count)
    )

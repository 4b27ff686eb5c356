"""The largest of a few numbers: the first experiment of the Set Transformer paper (Lee et al. 2019, 5.1)."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from patchsets.data.batch import Batch
from patchsets.data.vector_sets import LabelledSets, VectorSets
from patchsets.set_module import Sets
from workbench.common.limits import AboveZero
from workbench.train.loading import BatchedRows, loader

LARGEST_SET = 10
HIGHEST = 100.0


class MaxRegression(VectorSets):
    """Sets of 1 to 10 numbers, uniform from 0 to 100; training sets are drawn anew by torch's generator."""

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
        numbers, mask = draw(len(raw), raw.device)
        return Batch(Sets.from_padded(numbers, mask), largest(numbers, mask), raw)


def draw(
    count: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw so many sets: numbers `[B, 10, 1]` and which of them belong `[B, 10]`."""
    numbers = torch.rand(count, LARGEST_SET, 1, device=device, generator=generator) * HIGHEST
    sizes = torch.randint(1, LARGEST_SET + 1, (count, 1), device=device, generator=generator)
    return numbers, torch.arange(LARGEST_SET, device=device) < sizes


def largest(numbers: Tensor, mask: Tensor) -> Tensor:
    """Return the largest number of each set `[B]`."""
    return numbers.squeeze(2).masked_fill(~mask, -1).amax(dim=1)


def _rows(rows: Tensor) -> Tensor:
    return rows


def _held_out(count: int, seed: int) -> LabelledSets:
    numbers, mask = draw(count, generator=torch.Generator().manual_seed(seed))
    values = numbers[mask]
    return LabelledSets(
        values, mask.sum(1), largest(numbers, mask), torch.zeros(len(values)), torch.arange(count)
    )

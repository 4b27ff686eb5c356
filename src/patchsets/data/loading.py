"""Loaders that fetch a whole batch by one index, in an order that depends on seed and epoch alone."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

SEED_STRIDE = 1_000_003  # keeps the orders of two seeds apart for as many epochs


class EpochSampler(Sampler[int]):
    """A new random order each epoch, the same one whenever that epoch is run again."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * SEED_STRIDE + self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


class BatchedRows(Dataset[Any]):
    """Rows fetched a batch at a time: `take` gets their numbers `[B]` and returns what the loader yields."""

    def __init__(self, size: int, take: Callable[[Tensor], Any]) -> None:
        self.size = size
        self.take = take

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, rows: list[int]) -> Any:
        return self.take(torch.tensor(rows))


def loader(rows: BatchedRows, batch_size: int, num_workers: int, shuffle_seed: int | None) -> DataLoader[Any]:
    """Return a loader over rows: in order, or shuffled where a seed is given; the last batch may be small."""
    return DataLoader(
        rows,
        batch_size=batch_size,
        sampler=None if shuffle_seed is None else EpochSampler(len(rows), shuffle_seed),
        num_workers=num_workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def hash_of(*tensors: Tensor) -> str:
    """Return the SHA-256 of the bytes of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()

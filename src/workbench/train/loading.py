"""Loaders that fetch a whole batch by one index, in an order that depends on seed and epoch alone."""

import errno
import hashlib
import io
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, get_worker_info

from workbench.common.errors import DataError, UserError
from workbench.common.private_parts import shared_bytes
from workbench.common.process import give_back_memory

SEED_STRIDE = 1_000_003  # keeps the orders of two seeds apart for as many epochs


class EpochSampler(DistributedSampler[Any]):
    """A new random order each epoch, the same whenever that epoch is run again; without a seed as they stand.

    One rank of several takes every n-th row, the first ones repeated so that all take equally many: in each
    step they see together what one process would see in a batch n times as large. Lightning, which would
    divide the rows in another way, leaves a DistributedSampler alone.

    With `weights` `[size]` and a seed, rows are drawn with replacement, each as often as its weight says.
    `skipped` rows at the beginning are left out.
    """

    def __init__(self, size: int, order_seed: int | None, weights: Tensor | None = None) -> None:
        super().__init__(range(size), num_replicas=1, rank=0)  # type: ignore[arg-type]  # only its length counts
        self.size = size
        self.order_seed = order_seed
        self.weights = weights
        self.skipped = 0

    def divide(self, rank: int, ranks: int) -> None:
        """Take one rank's share from now on."""
        super().__init__(self.dataset, ranks, rank)

    def __iter__(self) -> Iterator[int]:
        first = self.rank + self.skipped * self.num_replicas
        return islice(cycle(self._order()), first, self.total_size, self.num_replicas)

    def _order(self) -> Iterable[int]:
        if self.order_seed is None:
            return range(self.size)
        generator = torch.Generator().manual_seed(self.order_seed * SEED_STRIDE + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.size, generator=generator)
        else:
            order = torch.multinomial(self.weights, self.size, replacement=True, generator=generator)
        rows: list[int] = order.tolist()
        return rows


class BatchedRows(Dataset[Any]):
    """Rows fetched a batch at a time: `take` gets their numbers `[B]` and returns what the loader yields.

    A file that `take` cannot read is a DataError.
    """

    def __init__(self, size: int, take: Callable[[Tensor], Any]) -> None:
        self.size = size
        self.take = take

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, rows: list[int]) -> Any:
        try:
            return self.take(torch.tensor(rows))
        except OSError as error:
            shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
            raise DataError(f"examples {shown} cannot be read: {error}") from error


class RowLoader(DataLoader[Any]):
    """A loader that can go on in the midst of an epoch; Lightning keeps its state in every checkpoint.

    The first batch that is asked for starts it, not `iter`: by then Lightning has said which epoch it is.
    """

    given = 0  # rows of this rank, in this epoch
    _going_on: tuple[int, int] | None = None  # the epoch to go on in, and how many rows it has seen

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the rows of it that were given."""
        return {"epoch": _sampler_of(self).epoch, "rows": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the rows that were given, in their epoch; any other epoch starts at its first row."""
        self._going_on = state["epoch"], state["rows"]
        _sampler_of(self).set_epoch(state["epoch"])

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # DataLoader's own type is private
        sampler = _sampler_of(self)
        epoch, rows = self._going_on or (sampler.epoch, 0)
        self.given = sampler.skipped = rows if epoch == sampler.epoch else 0
        self._going_on = None
        give_back_memory()  # of which each worker would hold a part
        batches = super().__iter__()
        for batch in batches:
            if (
                self.num_workers > 0 and sampler.order_seed is None
            ):  # of an evaluation, which keeps its results
                give_back_memory()
            self.given = min(self.given + (self.batch_size or 1), len(sampler))
            if self.given == len(sampler):
                next(batches, None)  # ends the workers now, before those of the validation are started
            yield batch


def _sampler_of(rows: DataLoader[Any]) -> EpochSampler:
    """Return a loader's sampler; one that counts for nothing where Lightning has put its own in its place."""
    sampler = rows.sampler
    return sampler if isinstance(sampler, EpochSampler) else EpochSampler(len(rows.dataset), None)  # type: ignore[arg-type]  # it has a length


def loader(
    rows: BatchedRows,
    batch_size: int,
    num_workers: int,
    shuffle_seed: int | None,
    weights: Tensor | None = None,
) -> RowLoader:
    """Return a loader over rows: in order, or shuffled where a seed is given; the last batch may be small.

    `weights` `[rows]` say how often each is drawn, with replacement, where the order is a seed's.
    """
    return RowLoader(
        rows,
        batch_size=batch_size,
        sampler=EpochSampler(len(rows), shuffle_seed, weights),
        num_workers=num_workers,
        collate_fn=_shared,
        pin_memory=torch.cuda.is_available(),
    )


def batch_bytes(count: int) -> Tensor:
    """Return room for `count` bytes of a batch: in a worker in shared memory, where its reader finds it.

    So large a piece of a worker's own memory, freed again and again between small ones, would tear it apart.
    """
    if get_worker_info() is None or count == 0:
        return torch.empty(count, dtype=torch.uint8)
    room: Tensor = shared_bytes(count)
    return room


def _shared(batch: Any) -> Any:
    """Put a worker's batch into shared memory here: torch's queue, which else does, swallows a failure."""
    if get_worker_info() is not None:
        _Sharing(io.BytesIO(), protocol=5, buffer_callback=lambda _: False).dump(batch)
    return batch


class _Sharing(pickle.Pickler):
    """Shares every tensor that it meets, whatever holds it; what it writes is of no use."""

    def reducer_override(self, part: Any) -> Any:
        if not isinstance(part, Tensor):
            return NotImplemented
        part.share_memory_()
        return (bool, ())


SHARED_IS_FULL = (
    "shared memory (/dev/shm), through which data workers hand on batches, is full: take fewer workers or "
    "none (data.num_workers), smaller batches (hparams.batch_size), or in a container a larger SHM_SIZE"
)


@contextmanager
def workers_told() -> Iterator[None]:
    """Let a mistake that a data worker found be its own line; the traceback torch adds is for the log.

    Raises UserError for a worker that was killed, and where shared memory is full.
    """
    try:
        yield
    except UserError as error:
        kind = type(error)
        trace, _, line = str(error).rpartition(f"{kind.__module__}.{kind.__qualname__}: ")
        if "DataLoader worker process" not in trace:
            raise
        told = kind(line.strip())
        told.details = str(error)
        raise told from None
    except (RuntimeError, OSError) as error:
        if _lacks_shared_memory(error):
            raise UserError(SHARED_IS_FULL) from error
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        advice = "where memory is short, take fewer workers or none (data.num_workers)"
        raise UserError(f"{str(error).strip(' .')}; {advice}") from error


def _lacks_shared_memory(error: BaseException | None) -> bool:
    """Tell whether a batch could not be shared, or a lock not be made, over which Lightning stumbled."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return traceback.extract_tb(error.__traceback__)[-1].filename.endswith(
            "multiprocessing/synchronize.py"
        )
    return "unable to allocate shared memory" in str(error) or _lacks_shared_memory(error.__context__)


def hash_of(*tensors: Tensor) -> str:
    """Return the SHA-256 of the bytes of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


class SplitLoaders:
    """The loaders of data whose three splits are rows in memory: each split has `label` `[B]` and `take`."""

    splits: dict[str, Any]
    batch_size: int
    seed: int  # of the order of training
    num_workers: int

    def prepare_data(self) -> None:
        """Fetch nothing: what there is lies here already."""

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training examples, shuffled."""
        return self._loader("train", self.seed)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Return the validation examples in order; where there are none, no loader."""
        return self._loader("val", None) if "val" in self.splits else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the test examples in order."""
        return self._loader("test", None)

    def _loader(self, split: str, shuffle_seed: int | None) -> DataLoader[Any]:
        part = self.splits[split]
        return loader(
            BatchedRows(len(part.label), part.take), self.batch_size, self.num_workers, shuffle_seed
        )


class SetData(Protocol):
    """Sets with labels; every class in this folder is one, and so is any other with these members.

    Data may have `find_files()` too, which raises DataError for files that cannot be used, or ConfigError for
    words, before anything of the run is written.
    Where there is an attribute `epoch`, a run sets it before a training batch is made: what is drawn for an
    example depends on the seed, this epoch and the example's row alone (patchsets/data/draws.py).
    """

    num_features: int  # of an element of a set; known after setup, like the classes
    classes: list[str]

    def prepare_data(self) -> None:
        """Look up or download, once per machine."""

    def setup(self, stage: str | None = None) -> None:
        """Read and split; may be called more than once."""

    def train_dataloader(self) -> Any: ...

    def val_dataloader(self) -> Any:
        """Return the loader of the validation split; [] where there is none, for hparams.keep=last."""

    def test_dataloader(self) -> Any: ...

    def make_batch(self, raw: Any, training: bool) -> Any:
        """Make a Batch, or an ImageBatch, from what a loader gave, on the device it was moved to."""

    def image(self, split: str, index: int) -> np.ndarray | None:
        """Return an example's image `[H, W]` or `[H, W, 3]` uint8, where it has one."""

    def fingerprint(self) -> dict[str, Any]:
        """Return plain values that differ when the data differ."""

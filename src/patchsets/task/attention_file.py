"""attention.h5: how a network weighed each element of each test example, beside its predictions.

Shapes: N examples, T elements of all of them, A branches of the attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from patchsets.task.examination import Judged, of_elements, raw_batches
from workbench.common.files import appearing_whole

if TYPE_CHECKING:
    import h5py

    from patchsets.data.batch import Batch
    from workbench.train.base import RunTask

ROWS_TOGETHER = 16384  # of an array, which are compressed and read as one


def has_attention(task: RunTask) -> bool:
    """Tell whether the network says what it looks at, and is given sets of which it can."""
    return hasattr(task.network, "attention") and getattr(task.data, "patch_size", 0) is not None


def write_attention(task: RunTask, judged: Judged, columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Write how the network weighs the elements of the examples that were judged; a batch is in memory.

    Of example n the elements `begin[n]` to `begin[n + 1]` stand in `weights` `[T]`, which add up to 1 over an
    example, and where they are known in `scores` `[T, A]` (before the softmax), `coords` `[T, 2]` (x, y) and
    `element_label` `[T]`; `index` `[N]` is its row in the split. `columns` hold more of each judged example.
    """
    import h5py  # here: no start shall wait for it

    place = {row: n for n, row in enumerate(judged.index.tolist())}
    order, lengths = [], [0]
    with appearing_whole(path) as temporary, h5py.File(temporary, "w") as file:
        for raw in raw_batches(task):
            batch: Any = task.data.make_batch(raw, training=False)
            is_judged_B = torch.tensor([row in place for row in batch.index.tolist()])
            order += [place[row] for row in batch.index[is_judged_B].tolist()]
            lengths += batch.sets.lengths[is_judged_B].tolist()
            for name, array in _looked_at(task, batch, is_judged_B):
                _append(file, name, array)
        file["begin"] = np.cumsum(lengths)
        file["index"] = judged.index.numpy()[order]
        for name, column in columns.items():
            file[name] = [column[n] for n in order]
        if size := getattr(task.data, "patch_size", None):
            file.attrs["patch_size"] = size


def _looked_at(task: RunTask, batch: Batch, is_judged_B: torch.Tensor) -> Iterator[tuple[str, np.ndarray]]:
    """Give what is known of the elements of the judged, by name."""
    sets, network = batch.sets, task.network
    parts = {
        "weights": of_elements(network, "attention", sets),
        "scores": of_elements(network, "scores", sets),
        "coords": None if batch.positions is None else batch.positions.flip(1),
        "element_label": batch.element_label,
    }
    is_judged_T = sets.spread(is_judged_B.to(sets.values.device))
    yield from ((name, part[is_judged_T].cpu().numpy()) for name, part in parts.items() if part is not None)


def _append(file: h5py.File, name: str, rows: np.ndarray) -> None:
    """Write behind what an array of the file holds already."""
    shape = rows.shape[1:]
    if name not in file:
        kept: Any = {"chunks": (ROWS_TOGETHER, *shape), "compression": "gzip", "compression_opts": 1}
        file.create_dataset(name, (0, *shape), rows.dtype, maxshape=(None, *shape), shuffle=True, **kept)
    array = file[name]
    array.resize(len(array) + len(rows), axis=0)
    array[len(array) - len(rows) :] = rows

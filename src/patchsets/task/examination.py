"""The test split as a network answered it.

What a trained network makes of test examples: which elements matter, how few patches are enough.

Shapes: N examples of the test split, B sets of a batch,
T elements of all sets, n of one, D features, C classes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from patchsets.set_module import Sets
from workbench.common.errors import UserError

if TYPE_CHECKING:
    from patchsets.data.batch import Batch
    from workbench.train.base import RunTask


@dataclass(frozen=True)
class Judged:
    """The test split as it was answered: outputs `[N, classes]`, labels `[N]`, rows in the split `[N]`."""

    output: Tensor
    label: Tensor
    index: Tensor


def targets_of(data: Any, count: int) -> list[str]:
    """Return the names of the numbers that are regressed; `value` of one that has none."""
    named = list(getattr(data, "targets", None) or [])
    return named if len(named) == count else ["value"] if count == 1 else [f"value {k}" for k in range(count)]


METHOD = "attention of the pooling to each element"
PATCH_COUNTS = (1, 2, 4, 9, 16, 36, 64, 144, 256, 576, 1024)
NOTICEABLY_FEWER = 1.4  # times fewer patches than all of them, to be worth a point
ENOUGH_EXAMPLES = 2000  # to know an accuracy to about 2 %


class Examined(NamedTuple):
    """Arrays of one set: values `[n, D]`, weights `[n]` (1 is an equal share); the others as in its batch."""

    values: Any
    weight: Any
    positions: Any
    element_label: Any


def confident_mistakes(judged: Judged) -> list[int]:
    """Return which of the N are wrong, the surest first."""
    probability, predicted = judged.output.softmax(dim=1).max(dim=1)
    order = probability.argsort(descending=True, stable=True)
    return order[(predicted != judged.label)[order]].tolist()


def typical_examples(judged: Judged, number: int) -> list[int]:
    """Return which of the N to show: right answers, each class in turn, then a quarter or more mistakes."""
    turn: dict[int, int] = defaultdict(int)
    right = []
    for n in (judged.output.argmax(dim=1) == judged.label).nonzero().squeeze(1).tolist():
        label = int(judged.label[n])
        right.append((turn[label], label, n))
        turn[label] += 1
    mistakes = confident_mistakes(judged)[: max(number // 4, number - len(right))]
    return [n for *_, n in sorted(right)[: number - len(mistakes)]] + mistakes


def raw_batches(task: RunTask, every: int = 1) -> Iterator[Any]:
    """Give each, or every so many-th, batch of the test split as it is loaded, on the task's device."""
    for number, raw in enumerate(task.data.test_dataloader()):
        if number % every == 0:
            yield task.transfer_batch_to_device(raw, task.device, 0)


def examine(task: RunTask, rows: Sequence[int]) -> tuple[list[Examined], str]:
    """Weigh the elements of some rows of the test split; return these in order, and what the weights are."""
    found: dict[int, Examined] = {}
    method = ""
    for raw in raw_batches(task):
        batch = task.data.make_batch(_only(raw, rows), training=False)
        wanted = [(b, row) for b, row in enumerate(batch.index.tolist()) if row in rows]
        if wanted:
            weight_T, method = element_weights(task.network, batch.sets)
            share_T = weight_T * batch.sets.spread(batch.sets.lengths.to(weight_T))
            found |= {row: _one_set(batch, b, share_T) for b, row in wanted}
        if len(found) == len(rows):
            break
    return [found[row] for row in rows], method


def _only(raw: Any, rows: Sequence[int]) -> Any:
    """Return what is of some rows: a gradient by all elements of a batch would take much memory."""
    if not hasattr(raw, "take"):
        return raw
    kept = [b for b, row in enumerate(raw.index.tolist()) if row in rows]
    return raw.take(torch.tensor(kept or [0], device=raw.index.device))


def _one_set(batch: Batch, b: int, share_T: Tensor) -> Examined:
    start = sum(batch.sets.sizes[:b])
    these = slice(start, start + batch.sets.sizes[b])
    parts: Any = (batch.sets.values, share_T, batch.positions, batch.element_label)
    return Examined(*(None if part is None else part[these].cpu().numpy() for part in parts))


def data_have_patches(task: RunTask) -> bool:
    """Tell whether the sets are patches of images, of which any number can be shown."""
    return getattr(task.data, "patch_size", None) is not None


def correct_by_patches(task: RunTask, judged: Judged) -> dict[int, tuple[int, int]]:
    """Count right answers by number of random patches shown: how many, of how many; the last has all."""
    every = math.ceil(len(judged.label) / ENOUGH_EXAMPLES)
    right: Counter[int] = Counter()
    shown: Counter[int] = Counter()
    largest = 0
    for raw in _halves(raw_batches(task, every)):
        largest = max(largest, task.data.make_batch(raw, training=False).sets.layout.largest)
        for k in reversed(PATCH_COUNTS):  # the memory of more is room enough for fewer
            if k * NOTICEABLY_FEWER <= largest:
                is_right_B = _answered_right(task, raw, k)
                right[k] += int(is_right_B.sum())
                shown[k] += len(is_right_B)
    all_right = int((judged.output.argmax(dim=1) == judged.label).sum())
    return {k: (right[k], shown[k]) for k in sorted(shown)} | {largest: (all_right, len(judged.label))}


def _halves(raws: Iterator[Any]) -> Iterator[Any]:
    """Give each loaded batch in two parts, if it can be parted: a figure takes less memory than a test."""
    for raw in raws:
        if hasattr(raw, "take"):
            rows = torch.arange(len(raw.index), device=raw.index.device)
            yield from (raw.take(part) for part in rows.chunk(2))
        else:
            yield raw


def _answered_right(task: RunTask, raw: Any, patches: int) -> Tensor:
    """Tell which examples are classified right by so many patches `[B]`; a batch is freed before the next."""
    batch = task.data.make_batch(raw, training=False, patches=patches)  # type: ignore[call-arg]  # data_have_patches
    return task.network(batch.sets).argmax(dim=1) == batch.label


def of_elements(network: nn.Module, method: str, sets: Sets) -> Tensor | None:
    """Return what the network's `attention` or `scores` says of each element `[T, ...]`, in float32.

    None where it has no such method, or that returns None. Raises UserError where what it returns is of
    another number of elements.
    """
    if not hasattr(network, method):
        return None
    with torch.no_grad():
        told: Tensor | None = getattr(network, method)(sets)
    if told is not None and told.shape[:1] != sets.values.shape[:1]:
        raise UserError(
            f"{type(network).__name__}.{method}(sets) returns {list(told.shape)} for "
            f"{len(sets.values)} elements; return one row for each"
        )
    return None if told is None else told.float()


def element_weights(network: nn.Module, sets: Sets) -> tuple[Tensor, str]:
    """Return a weight for each element `[T]`, adding up to 1 over each set, and in words what they are.

    The network's own `attention(sets)` where it has one, else the length of the gradient of its answer.
    """
    if (attention := of_elements(network, "attention", sets)) is not None:
        return attention, METHOD
    return gradient_weights(network, sets), "gradient of the answer with respect to each element"


def gradient_weights(network: nn.Module, sets: Sets) -> Tensor:
    """Return the length of the answer's gradient by each element `[T]`, adding up to 1 over each set.

    A saliency map (Simonyan et al. 2014). Where no element has a gradient, all share alike.
    """
    with torch.enable_grad():
        values_TD = sets.values.detach().requires_grad_()
        logits_BC = network(sets.with_values(values_TD))
        (gradient_TD,) = torch.autograd.grad(logits_BC.amax(dim=1).sum(), values_TD)
    length_T = gradient_TD.float().flatten(1).norm(dim=1) + torch.finfo(torch.float32).tiny
    total_B = length_T.new_zeros(len(sets)).index_add(0, sets.set_index, length_T)
    return length_T / sets.spread(total_B)

"""Reductions over the elements of each set, with no padding: `[T, ...]` to `[B, ...]`.

Half precision is computed in float32 and rounded once, at the end. An empty set gives 0, everywhere, with
gradient 0. A NaN or an infinity in a set shows in the result of that set, and in no other.
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

from patchsets.set_module.sets import Sets

HALF = (torch.bfloat16, torch.float16)
Reduced = TypeVar("Reduced", Tensor, Sets)


def at_least_float32(values: Tensor) -> Tensor:
    """Return values of half precision as float32, and others as they are."""
    return values.float() if values.dtype in HALF else values


def in_float32(reduce: Callable[[Sets], Reduced]) -> Callable[[Sets], Reduced]:
    """Let a reduction work in float32 where its sets are of half precision."""

    @wraps(reduce)
    def reduced(sets: Sets) -> Reduced:
        if sets.values.dtype not in HALF:
            return reduce(sets)
        return reduce(sets.with_values(sets.values.float())).to(sets.values.dtype)

    return reduced


@in_float32
def segment_sum(sets: Sets) -> Tensor:
    """Add up each set: `[B, ...]`."""
    values = sets.values
    if sets.layout.equal is not None:
        return sets.pad().sum(1)
    return values.new_zeros(sets.batch_size, *values.shape[1:]).index_add(0, sets.set_index, values)


@in_float32  # whose largest number a sum of half precision may pass, where the mean does not
def segment_mean(sets: Sets) -> Tensor:
    """Average each set: `[B, ...]`."""
    return segment_sum(sets) / per_set(sets.lengths.clamp(min=1), sets.values)


def segment_max(sets: Sets) -> Tensor:
    """Take the largest value of each set: `[B, ...]`; equal ones share the gradient."""
    return _extreme(sets, "max")


def segment_min(sets: Sets) -> Tensor:
    """Take the smallest value of each set: `[B, ...]`; equal ones share the gradient."""
    return _extreme(sets, "min")


@in_float32
def segment_std(sets: Sets) -> Tensor:
    """Take the standard deviation of each set, dividing by its size: `[B, ...]`; its gradient at 0 is 0."""
    # Detached, since the mean's own part of the gradient is 0: the centred values add up to 0.
    centred = sets.values - sets.spread(segment_mean(sets).detach())
    variance = segment_mean(sets.with_values(centred.square()))
    is_0 = variance == 0
    return torch.where(is_0, 0, torch.where(is_0, 1, variance).sqrt())


@in_float32
def segment_logsumexp(sets: Sets) -> Tensor:
    """Take the logarithm of the sum of exponentials of each set: `[B, ...]`."""
    largest = segment_max(sets).detach()
    largest = torch.where(largest.isfinite(), largest, 0)  # an infinity less itself would be NaN
    total = segment_sum(sets.with_values((sets.values - sets.spread(largest)).exp()))
    is_empty = per_set(sets.lengths == 0, sets.values)
    return torch.where(is_empty, 0, torch.where(is_empty, 1, total).log() + largest)


@in_float32
def segment_softmax(sets: Sets) -> Sets:
    """Take the softmax over the elements of each set: non-negative, adding up to 1 per set."""
    if sets.layout.equal is not None:
        return sets.with_values(sets.pad().softmax(1).flatten(0, 1))
    exponentials = (sets.values - sets.spread(segment_max(sets).detach())).exp()
    totals = segment_sum(sets.with_values(exponentials))
    return sets.with_values(exponentials / sets.spread(totals))


def per_set(x_B: Tensor, values: Tensor) -> Tensor:
    """Give `[B]` the dimensions of a pooled `[B, ...]`."""
    return x_B.view(-1, *(1,) * (values.dim() - 1))


def _extreme(sets: Sets, which: str) -> Tensor:
    if sets.layout.equal:
        return sets.pad().amax(1) if which == "max" else sets.pad().amin(1)
    found = torch.segment_reduce(sets.values.contiguous(), which, lengths=sets.lengths, unsafe=True)
    return torch.where(per_set(sets.lengths > 0, sets.values), found, 0)

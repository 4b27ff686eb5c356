"""Scaled dot-product attention between sets of different sizes, with memory that grows with T alone.

On a GPU, in half precision: torch's variable-length kernel. Else on a CPU a loop over large sets, and
everywhere else buckets: sets of like sizes are padded to the largest among them.
While a network is exported, forms without any loop over sizes.

Shapes: T elements of all sets, B sets, Q queries and N keys of the largest set, H heads, K channels of a
head, M learned points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from patchsets.set_module.segment import HALF, at_least_float32, segment_softmax
from patchsets.set_module.sets import Sets
from workbench.common.errors import DataError
from workbench.common.private_parts import untraced

# On a CPU a loop over sets does no work for padding, but costs tens of microseconds per set. Measured sizes
# above which it pays: where both sides are sets, and where one is a few learned points.
LOOP_ABOVE = 48
LOOP_ABOVE_FOR_POINTS = 128
PADDED = 3  # sets of like sizes are one batch: padded they are at most so many times as many elements
BUCKET_GROWTH = 2**0.5  # the largest set of a bucket is at most so many times the smallest
CHUNK = 2**22  # scores that are held at once
LARGEST_MATRICES = 2**28  # weights that are returned at once: 1 GiB in float32


def attend(query: Sets, key_value: Sets) -> Tensor:
    """Let each query `[T, H, K]` attend to the keys and values `[T, 2, H, K]` of its own set: `[T, H, K]`.

    Where a set has no keys its queries get 0.
    """
    if key_value.layout.equal == 0:
        return torch.zeros_like(query.values)
    if query.layout.equal is not None and key_value.layout.equal is not None:
        return _attend_padded(query, key_value, None)
    if torch.compiler.is_exporting():
        return _attend_exported(query, key_value)
    return _attend_ragged(query, key_value)


def _attend_padded(query: Sets, key_value: Sets, mask_B11N: Tensor | None) -> Tensor:
    q_BHQK = query.pad().transpose(1, 2)
    k_BHNK, v_BHNK = key_value.pad().permute(2, 0, 3, 1, 4).unbind()
    attended = F.scaled_dot_product_attention(q_BHQK, k_BHNK, v_BHNK, attn_mask=mask_B11N)
    return query.from_pad(attended.transpose(1, 2))


def _attend_exported(query: Sets, key_value: Sets) -> Tensor:
    """Let all queries look at all keys, those of other sets masked out: cost T^2, one graph for all sizes."""
    q_HTK = query.values.transpose(0, 1)
    k_HTK, v_HTK = key_value.values.permute(1, 2, 0, 3).unbind()
    same_TT = query.set_index[:, None] == key_value.set_index
    attended = F.scaled_dot_product_attention(q_HTK[None], k_HTK[None], v_HTK[None], attn_mask=same_TT)[0]
    has_keys_T = query.spread(key_value.lengths > 0)
    return torch.where(has_keys_T[:, None, None], attended.transpose(0, 1), 0)


@untraced  # the sizes are data: traced, every batch would be a new graph
def _attend_ragged(query: Sets, key_value: Sets) -> Tensor:
    if query.values.device.type == "cuda" and query.values.dtype in HALF:
        return _attend_varlen(query, key_value)
    if query.values.device.type == "cpu" and _loop_pays(query, key_value):
        return torch.cat([_attend_one(q, kv) for q, kv in zip(query.split(), key_value.split(), strict=True)])
    if all(
        sets.batch_size * sets.layout.largest <= PADDED * sets.layout.total for sets in (query, key_value)
    ):
        return _attend_padded(query, key_value, key_value.layout.mask[:, None, None, :])
    return _attend_in_buckets(query, key_value)


def _loop_pays(query: Sets, key_value: Sets) -> bool:
    points = query.layout.equal is not None or key_value.layout.equal is not None
    threshold = LOOP_ABOVE_FOR_POINTS if points else LOOP_ABOVE
    return max(query.layout.largest, key_value.layout.largest) > threshold


def _attend_one(q_QHK: Tensor, kv_N2HK: Tensor) -> Tensor:
    if len(q_QHK) == 0 or len(kv_N2HK) == 0:
        return torch.zeros_like(q_QHK)
    k_HNK, v_HNK = kv_N2HK.permute(1, 2, 0, 3).unbind()
    attended = F.scaled_dot_product_attention(q_QHK.transpose(0, 1)[None], k_HNK[None], v_HNK[None])
    return attended[0].transpose(0, 1)


def _attend_varlen(query: Sets, key_value: Sets) -> Tensor:
    """Attend by torch's own kernel for sets of any sizes, which takes CUDA and half precision only."""
    from torch.nn.attention.varlen import varlen_attn  # loads the compiler, a second's import

    k_THK, v_THK = key_value.values.unbind(1)
    ends_q, ends_k = (F.pad(sets.lengths.cumsum(0), (1, 0)).int() for sets in (query, key_value))
    most_q, most_k = query.layout.largest, key_value.layout.largest
    attended = varlen_attn(
        query.values, k_THK.contiguous(), v_THK.contiguous(), ends_q, ends_k, most_q, most_k
    )
    assert isinstance(attended, Tensor)
    has_keys_T = query.spread(key_value.lengths > 0)
    return torch.where(has_keys_T[:, None, None], attended, 0)


def _attend_in_buckets(query: Sets, key_value: Sets) -> Tensor:
    attended_THK = torch.zeros_like(query.values)
    places, parts = [], []
    for _, (q, kv) in buckets(query, key_value):
        if q.places.numel() and kv.places.numel():
            q_BHQK = query.values[q.places].transpose(1, 2)
            k_BHNK, v_BHNK = key_value.values[kv.places].permute(2, 0, 3, 1, 4).unbind()
            mask = None if kv.is_full else kv.real[:, None, None, :]
            attended = F.scaled_dot_product_attention(q_BHQK, k_BHNK, v_BHNK, attn_mask=mask)
            places.append(q.places[q.real])
            parts.append(attended.transpose(1, 2)[q.real])
    return attended_THK.index_copy(0, torch.cat(places), torch.cat(parts)) if parts else attended_THK


class Rows(NamedTuple):
    """Where the elements of sets of like sizes lie `[b, n]`.

    `real` `[b, n]` tells them from padding, which repeats the last element of its own set.
    """

    places: Tensor
    real: Tensor
    is_full: bool  # there is no padding


class Bucket(NamedTuple):
    """Sets of like sizes: which they are `[b]`, and their rows in each of the `Sets` that were divided."""

    members: Tensor
    rows: list[Rows]


def buckets(*sets: Sets) -> Iterator[Bucket]:
    """Divide all sets into buckets of like sizes in each of `sets`."""
    classes: dict[tuple[int, ...], list[int]] = {}
    for member, sizes in enumerate(zip(*(one.sizes for one in sets), strict=True)):
        classes.setdefault(tuple(map(_size_class, sizes)), []).append(member)
    for members in classes.values():
        members_B = torch.tensor(members).to(sets[0].values.device, non_blocking=True)
        yield Bucket(members_B, [_rows(one, members, members_B) for one in sets])


def _size_class(size: int) -> int:
    return math.ceil(math.log(size, BUCKET_GROWTH) - 1e-9) if size else -1


def _rows(sets: Sets, members: list[int], members_B: Tensor) -> Rows:
    sizes = [sets.sizes[member] for member in members]
    place_N = torch.arange(max(sizes), device=members_B.device)
    lengths_B1, begin_B1 = sets.lengths[members_B][:, None], sets.offsets[members_B][:, None]
    places_BN = begin_B1 + torch.minimum(place_N, lengths_B1 - 1)
    return Rows(places_BN, place_N < lengths_B1, min(sizes) == max(sizes))


def point_weights(points_MHK: Tensor, key: Sets) -> Sets:
    """Return how points, the same for every set, weigh the keys `[T, H, K]` of each set: sets of `[H, M]`.

    The weights add up to 1 over each set, in float32 at least.
    """
    scores = torch.einsum("mhk,thk->thm", points_MHK * points_MHK.shape[-1] ** -0.5, key.values)
    return segment_softmax(key.with_values(at_least_float32(scores)))


def received_weights(query: Sets, key: Sets) -> Sets:
    """Return the attention that each key `[T, H, K]` receives, a mean over its set's queries: sets of `[H]`.

    It adds up to 1 over each set that has keys and queries. Computed in chunks and without a gradient.
    """
    received = at_least_float32(key.values.new_zeros(key.values.shape[:2]))
    with torch.no_grad():
        for where, q_QHK, k_NHK in _pairs(query, key):
            step = max(1, CHUNK // (k_NHK.shape[0] * k_NHK.shape[1]))
            for part in q_QHK.split(step):
                received[where] += _weights(part, k_NHK).sum(1).T / len(q_QHK)
    return key.with_values(received)


def weight_matrices(query: Sets, key: Sets) -> list[Tensor]:
    """Return the whole attention of each set `[H, Q, N]`, with its gradient.

    Raises DataError where all together are more than LARGEST_MATRICES numbers.
    """
    heads = key.values.shape[1]
    total = heads * sum(q * n for q, n in zip(query.sizes, key.sizes, strict=True))
    if total > LARGEST_MATRICES:
        raise DataError(
            f"the attention of all elements to all others is {total:,} numbers ({total / 2**28:.1f} GiB); "
            f"at most {LARGEST_MATRICES:,} are returned: take fewer sets at once, or return_attention=True "
            "for what each element receives"
        )
    return [_weights(q, k) for q, k in zip(query.split(), key.split(), strict=True)]


def _weights(q_QHK: Tensor, k_NHK: Tensor) -> Tensor:
    scores = torch.einsum("qhk,nhk->hqn", q_QHK * q_QHK.shape[-1] ** -0.5, k_NHK)
    return at_least_float32(scores).softmax(-1)


def _pairs(query: Sets, key: Sets) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Return for each set with keys and queries where its keys lie, its queries, and its keys."""
    end = 0
    for q_QHK, k_NHK in zip(query.split(), key.split(), strict=True):
        end += len(k_NHK)
        if len(q_QHK) and len(k_NHK):
            yield slice(end - len(k_NHK), end), q_QHK, k_NHK

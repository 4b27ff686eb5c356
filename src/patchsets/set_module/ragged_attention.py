"""Scaled dot-product attention between sets of different sizes, by the kernel that fits.

Shapes: T elements of all sets, B sets, N elements of the largest set, H heads, K channels of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from patchsets.set_module.sets import Sets

# On a CPU a loop over sets does no work for padding, but costs tens of microseconds per set. Measured sizes
# above which it pays: where both sides are sets, and where one is a few learned points.
LOOP_ABOVE = 48
LOOP_ABOVE_FOR_POINTS = 128


def attend(query: Sets, key_value: Sets) -> Tensor:
    """Let each query `[T, H, K]` attend to the keys and values `[T, 2, H, K]` of its own set: `[T, H, K]`.

    Where a set has no keys its queries get 0.
    """
    if key_value.layout.equal == 0:
        return torch.zeros_like(query.values)
    if query.layout.equal is not None and key_value.layout.equal is not None:
        return _attend_padded(query, key_value, None)
    return _attend_ragged(query, key_value)


def attention_weights(query: Sets, key_value: Sets) -> Tensor:
    """Return the weights behind `attend` `[B, N query, H, N key]`: 0 at padding, for empty sets too."""
    q_BQHK, k_BNHK = query.pad(), key_value.pad()[:, :, 0]
    scores_BQHN = torch.einsum("bqhk,bnhk->bqhn", q_BQHK * q_BQHK.shape[-1] ** -0.5, k_BNHK)
    real_B11N = key_value.layout.mask[:, None, None, :]
    weights = scores_BQHN.masked_fill(~real_B11N, torch.finfo(scores_BQHN.dtype).min).softmax(-1)
    return torch.where(real_B11N, weights, 0)


@torch.compiler.disable  # the sizes are data: traced, every batch would be a new graph
def _attend_ragged(query: Sets, key_value: Sets) -> Tensor:
    if query.values.device.type == "cpu" and _loop_pays(query, key_value):
        return _attend_by_loop(query, key_value)
    return _attend_padded(query, key_value, key_value.layout.mask[:, None, None, :])


def _loop_pays(query: Sets, key_value: Sets) -> bool:
    points = query.layout.equal is not None or key_value.layout.equal is not None
    threshold = LOOP_ABOVE_FOR_POINTS if points else LOOP_ABOVE
    return max(query.layout.largest, key_value.layout.largest) > threshold


def _attend_padded(query: Sets, key_value: Sets, mask_B11N: Tensor | None) -> Tensor:
    q_BHQK = query.pad().transpose(1, 2)
    k_BHNK, v_BHNK = key_value.pad().permute(2, 0, 3, 1, 4).unbind()
    attended = F.scaled_dot_product_attention(q_BHQK, k_BHNK, v_BHNK, attn_mask=mask_B11N)
    return query.from_pad(attended.transpose(1, 2))


def _attend_by_loop(query: Sets, key_value: Sets) -> Tensor:
    return torch.cat([_attend_one(q, kv) for q, kv in zip(query.split(), key_value.split(), strict=True)])


def _attend_one(q_QHK: Tensor, kv_N2HK: Tensor) -> Tensor:
    if len(q_QHK) == 0 or len(kv_N2HK) == 0:
        return torch.zeros_like(q_QHK)
    k_HNK, v_HNK = kv_N2HK.permute(1, 2, 0, 3).unbind()
    attended = F.scaled_dot_product_attention(q_QHK.transpose(0, 1)[None], k_HNK[None], v_HNK[None])
    return attended[0].transpose(0, 1)

"""Scaled dot-product attention between sets of different sizes, by the kernel that fits.

Shapes: T elements of all sets, B sets, N elements of the largest set, H heads, K channels of a head.

The blocks of the Set Transformer (Lee et al. 2019); with `norm="set"` its "++" form (Zhang et al. 2022).

As in the authors' code, heads are concatenated without an output projection, the feed-forward part is one
linear layer with ReLU, and the residual is the projected query. Scores are divided by the square root of a
head's width, as in the paper; their code divides by that of all heads together.

Shapes: B sets, T elements of all sets, M inducing points or seeds, D features, H heads, K channels of a head.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.set_module.elementwise import Each, SetNorm
from patchsets.set_module.segment import at_least_float32
from patchsets.set_module.sets import Sets
from workbench.common.errors import ConfigError
from workbench.common.private_parts import untraced

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
    scores_BQHN = at_least_float32(scores_BQHN).masked_fill(~real_B11N, torch.finfo(scores_BQHN.dtype).min)
    weights = scores_BQHN.softmax(-1)
    return torch.where(real_B11N, weights, 0)


@untraced  # the sizes are data: traced, every batch would be a new graph
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


Norm = Literal["none", "layer", "set"]


class MAB(nn.Module):
    """Let the elements of each set attend to those of another: sets of `[D]`, as long as the queries.

    `query` may be a tensor `[M, D]`: the same M queries for every set. `norm` is "layer" (the paper: after
    each residual), "set" (Set Transformer++: before attention and feed-forward, the residual untouched) or
    "none" (the authors' code). A query whose set of keys is empty keeps its residual path alone.
    `return_attention` adds sets of `[H, N]`: each query's weights over its keys, adding up to 1.
    Raises `ConfigError` where heads do not divide D, or the residual of "set" would change its width.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        dim_query: int | None = None,
        dim_key: int | None = None,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        dim_query, dim_key = dim_query or dim, dim_key or dim
        check_widths(dim, heads, dim_query, dim_key, norm)
        self.heads = heads
        self.project_query = nn.Linear(dim_query, dim)
        self.project_key_value = nn.Linear(dim_key, 2 * dim)
        self.feed_forward = nn.Linear(dim, dim)
        self.clean = norm == "set"
        self.norms = nn.ModuleList(make_norm(norm, dim) for _ in range(2))

    def forward(
        self, query: Sets | Tensor, key: Sets, return_attention: bool = False
    ) -> Sets | tuple[Sets, Sets]:
        residual, q, kv = self._project(query, key)
        attended = residual.values + attend(q, kv).flatten(1)
        out = self._feed_forward(residual.with_values(attended))
        if not return_attention:
            return out
        return out, out.with_values(q.from_pad(attention_weights(q, kv)))

    def _project(self, query: Sets | Tensor, key: Sets) -> tuple[Sets, Sets, Sets]:
        """Return the residual, the queries `[T, H, K]`, and keys and values `[T, 2, H, K]`."""
        queries = Sets.from_padded(query[None]) if isinstance(query, Tensor) else query
        normed = self.norms[0](queries) if self.clean else queries
        projected = normed.with_values(self.project_query(normed.values))
        normed_key = normed if key is query else self.norms[0](key) if self.clean else key
        kv = self.project_key_value(normed_key.values).unflatten(1, (2, self.heads, -1))
        residual = queries if self.clean else projected
        if isinstance(query, Tensor):  # projected once, then the same for every set
            residual, projected = (repeat(x, key.batch_size) for x in (residual, projected))
        q = projected.with_values(projected.values.unflatten(1, (self.heads, -1)))
        return residual, q, key.with_values(kv)

    def _feed_forward(self, attended: Sets) -> Sets:
        if self.clean:
            inner = self.feed_forward(self.norms[1](attended).values.relu())
            return attended.with_values(attended.values + inner)
        hidden = self.norms[0](attended)
        return self.norms[1](hidden.with_values(hidden.values + self.feed_forward(hidden.values).relu()))


class SAB(nn.Module):
    """Let the elements of each set attend to one another: sets of `[dim_in]` to sets of `[dim]`, cost N^2.

    `return_attention` adds sets of `[H, N]`: each element's weights over its set, adding up to 1.
    """

    def __init__(self, dim: int, heads: int = 4, dim_in: int | None = None, norm: Norm = "none") -> None:
        super().__init__()
        self.block = MAB(dim, heads, dim_in, dim_in, norm)

    def forward(self, sets: Sets, return_attention: bool = False) -> Sets | tuple[Sets, Sets]:
        return self.block(sets, sets, return_attention)


class ISAB(nn.Module):
    """Let the elements of each set attend to one another through M learned points: sets to sets, cost N M.

    `return_attention` adds sets of `[H, M]`: how the points weigh the elements, adding up to 1 over each set.
    """

    def __init__(
        self, dim: int, heads: int = 4, points: int = 16, dim_in: int | None = None, norm: Norm = "none"
    ) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(points, dim)))
        self.gather = MAB(dim, heads, dim, dim_in, norm)
        self.scatter = MAB(dim, heads, dim_in, dim, norm)

    def forward(self, sets: Sets, return_attention: bool = False) -> Sets | tuple[Sets, Sets]:
        if not return_attention:
            return self.scatter(sets, self.gather(self.points, sets))
        gathered, weights = self.gather(self.points, sets, return_attention=True)
        return self.scatter(sets, gathered), by_element(weights, sets)


class PMA(nn.Module):
    """Pool each set by M learned seeds that attend to it: sets of `[D]` to `[B, M, D]`.

    `feed_forward` passes the elements through a linear layer with ReLU first, as the paper does and the
    authors' code does not. An empty set gives the seeds' residual path. `return_attention` adds sets of
    `[H, M]`: how the seeds weigh the elements, adding up to 1 over each set.
    """

    def __init__(
        self, dim: int, heads: int = 4, seeds: int = 1, feed_forward: bool = False, norm: Norm = "none"
    ) -> None:
        super().__init__()
        self.seeds = nn.Parameter(nn.init.xavier_uniform_(torch.empty(seeds, dim)))
        self.encode = Each(nn.Linear(dim, dim), nn.ReLU()) if feed_forward else nn.Identity()
        self.block = MAB(dim, heads, norm=norm)

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        if not return_attention:
            return self.block(self.seeds, self.encode(sets)).pad()
        pooled, weights = self.block(self.seeds, self.encode(sets), return_attention=True)
        return pooled.pad(), by_element(weights, sets)


def repeat(one: Sets, times: int) -> Sets:
    """Repeat a batch of one set."""
    return Sets.from_padded(one.values.expand(times, *one.values.shape))


def by_element(weights: Sets, sets: Sets) -> Sets:
    """Turn weights kept by query, sets of `[H, N]`, into weights kept by element, sets of `[H, M]`."""
    return sets.with_values(sets.from_pad(weights.pad().permute(0, 3, 2, 1)))


def make_norm(norm: Norm, dim: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    return SetNorm(dim) if norm == "set" else Each(nn.LayerNorm(dim))


def check_widths(dim: int, heads: int, dim_query: int, dim_key: int, norm: Norm) -> None:
    if dim % heads:
        raise ConfigError(f"dim={dim} cannot be shared among heads={heads}: give a multiple of {heads}")
    if norm not in ("none", "layer", "set"):
        raise ConfigError(f"norm={norm!r}: give none, layer or set")
    if norm == "set" and not dim == dim_query == dim_key:
        raise ConfigError(
            f'norm="set" keeps the width: widen {dim_query} to {dim} with Each(Linear) before it'
        )

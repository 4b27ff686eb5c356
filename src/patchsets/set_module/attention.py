"""The blocks of the Set Transformer (Lee et al. 2019); with `norm="set"` its "++" form (Zhang et al. 2022).

As in the authors' code, heads are concatenated without an output projection (unless one is asked for), the
feed-forward part is one linear layer with ReLU, and the residual is the projected query. Scores are divided
by the square root of a head's width, as in the paper; their code divides by that of all heads together.

Shapes: B sets, T elements of all sets, M inducing points or seeds, D features, H heads, K channels of a head.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from patchsets.set_module.elementwise import Each, SetNorm
from patchsets.set_module.ragged_attention import attend, point_weights, received_weights, weight_matrices
from patchsets.set_module.sets import Sets
from workbench.common.errors import ConfigError

Norm = Literal["none", "layer", "set"]


class MAB(nn.Module):
    """Let the elements of each set attend to those of another: sets of `[D]`, as long as the queries.

    `query` may be a tensor `[M, D]`: the same M queries for every set. `norm` is "layer" (the paper: after
    each residual), "set" (Set Transformer++: before attention and feed-forward, the residual untouched) or
    "none" (the authors' code). `dropout` acts on what attention and feed-forward add; `project_output` mixes
    the heads by a linear layer. A query whose set of keys is empty keeps its residual path alone.
    `return_attention` adds what each key receives, adding up to 1 over its set: sets of `[H, M]` from M
    queries of a tensor, else sets of `[H]`, the mean over the set's queries, without a gradient.
    Raises `ConfigError` where heads do not divide D, or the residual of "set" would change its width.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        dim_query: int | None = None,
        dim_key: int | None = None,
        norm: Norm = "none",
        dropout: float = 0.0,
        project_output: bool = False,
    ) -> None:
        super().__init__()
        dim_query, dim_key = dim_query or dim, dim_key or dim
        check_widths(dim, heads, dim_query, dim_key, norm)
        self.heads = heads
        self.project_query = nn.Linear(dim_query, dim)
        self.project_key_value = nn.Linear(dim_key, 2 * dim)
        self.project_output = nn.Linear(dim, dim) if project_output else nn.Identity()
        self.feed_forward = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.clean = norm == "set"
        self.norms = nn.ModuleList(make_norm(norm, dim) for _ in range(2))

    def forward(
        self, query: Sets | Tensor, key: Sets, return_attention: bool = False
    ) -> Sets | tuple[Sets, Sets]:
        residual, q, kv = self._project(query, key)
        attended = self.dropout(self.project_output(attend(q, kv).flatten(1)))
        out = self._feed_forward(residual.with_values(residual.values + attended))
        if not return_attention:
            return out
        keys = kv.with_values(kv.values[:, 0])
        if isinstance(query, Tensor):
            return out, point_weights(q.values[: len(query)], keys)
        return out, received_weights(q, keys)

    def attention_matrices(self, query: Sets, key: Sets) -> list[Tensor]:
        """Return the whole attention of each set `[H, queries, keys]`; DataError where that is too much."""
        _, q, kv = self._project(query, key)
        return weight_matrices(q, kv.with_values(kv.values[:, 0]))

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
            return attended.with_values(attended.values + self.dropout(inner))
        hidden = self.norms[0](attended)
        inner = self.feed_forward(hidden.values).relu()
        return self.norms[1](hidden.with_values(hidden.values + self.dropout(inner)))


class SAB(nn.Module):
    """Let the elements of each set attend to one another: sets of `[dim_in]` to sets of `[dim]`, cost N^2.

    `return_attention` adds the attention that each element receives, sets of `[H]` that add up to 1;
    `attention_matrices` gives all of it. `block` are further arguments of MAB.
    """

    def __init__(
        self, dim: int, heads: int = 4, dim_in: int | None = None, norm: Norm = "none", **block: Any
    ) -> None:
        super().__init__()
        self.block = MAB(dim, heads, dim_in, dim_in, norm, **block)

    def forward(self, sets: Sets, return_attention: bool = False) -> Sets | tuple[Sets, Sets]:
        return self.block(sets, sets, return_attention)

    def attention_matrices(self, sets: Sets) -> list[Tensor]:
        """Return how each element weighs each, one matrix for each set `[H, N, N]`.

        Raises DataError, with their size, where all together are too large to be held.
        """
        return self.block.attention_matrices(sets, sets)


class ISAB(nn.Module):
    """Let the elements of each set attend to one another through M learned points: sets to sets, cost N M.

    `return_attention` adds sets of `[H, M]`: how the points weigh the elements, adding up to 1 over each set.
    `block` are further arguments of both MABs.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        points: int = 16,
        dim_in: int | None = None,
        norm: Norm = "none",
        **block: Any,
    ) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(points, dim)))
        self.gather = MAB(dim, heads, dim, dim_in, norm, **block)
        self.scatter = MAB(dim, heads, dim_in, dim, norm, **block)

    def forward(self, sets: Sets, return_attention: bool = False) -> Sets | tuple[Sets, Sets]:
        if not return_attention:
            return self.scatter(sets, self.gather(self.points, sets))
        gathered, weights = self.gather(self.points, sets, return_attention=True)
        return self.scatter(sets, gathered), weights


class PMA(nn.Module):
    """Pool each set by M learned seeds that attend to it: sets of `[D]` to `[B, M, D]`.

    `feed_forward` passes the elements through a linear layer with ReLU first, as the paper does and the
    authors' code does not. An empty set gives the seeds' residual path. `return_attention` adds sets of
    `[H, M]`: how the seeds weigh the elements, adding up to 1 over each set. `block`: as of SAB.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        seeds: int = 1,
        feed_forward: bool = False,
        norm: Norm = "none",
        **block: Any,
    ) -> None:
        super().__init__()
        self.seeds = nn.Parameter(nn.init.xavier_uniform_(torch.empty(seeds, dim)))
        self.encode = Each(nn.Linear(dim, dim), nn.ReLU()) if feed_forward else nn.Identity()
        self.block = MAB(dim, heads, norm=norm, **block)

    def forward(self, sets: Sets, return_attention: bool = False) -> Tensor | tuple[Tensor, Sets]:
        if not return_attention:
            return self.block(self.seeds, self.encode(sets)).pad()
        pooled, weights = self.block(self.seeds, self.encode(sets), return_attention=True)
        return pooled.pad(), weights


def repeat(one: Sets, times: int) -> Sets:
    """Repeat a batch of one set."""
    return Sets.from_padded(one.values.repeat(times, *[1] * one.values.dim()))


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

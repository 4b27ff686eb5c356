"""What the ranks exchange: each learns from its share of the rows, and all are judged on every row."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_shared() -> bool:
    """Tell whether this process is one rank of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather(own: Any) -> list[Any]:
    """Return what each rank has, in their order; every rank must ask."""
    if not is_shared():
        return [own]
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return parts


def mean_over_ranks(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Return the mean of what the ranks have under each name; every rank must have the same names."""
    if not is_shared():
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float32, device=device)
    dist.all_reduce(total)
    return dict(zip(values, (total / dist.get_world_size()).tolist(), strict=True))


def gather_rows(index_N: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Return tensors `[N, ...]` on the CPU with the rows of all ranks, each once, by their number `index_N`.

    One process gets its own rows back as they are.
    """
    own = tuple(tensor.cpu() for tensor in (index_N, *others))
    if not is_shared():
        return own
    whole = tuple(torch.cat(parts) for parts in zip(*gather(own), strict=True))
    first: dict[int, int] = {}
    for place, row in enumerate(whole[0].tolist()):
        first.setdefault(row, place)
    places = torch.tensor([first[row] for row in sorted(first)])
    return tuple(tensor[places] for tensor in whole)

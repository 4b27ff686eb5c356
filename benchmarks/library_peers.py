"""PyG's aggregations and torchmil's pooling on the same sets; importing this asks for both libraries."""

from collections.abc import Callable

import torch_geometric.nn.aggr as pyg
import torchmil.nn as mil
from torch import Tensor, nn

from patchsets.set_module import Sets

Peer = tuple[Callable[[Tensor], Tensor], Tensor]


def peers(dim: int, heads: int, sets: Sets) -> dict[tuple[str, str], Peer]:
    """Return by pooling and library what to call, and the values to call it with."""
    padded, mask = sets.padded()
    gate = nn.Sequential(nn.Linear(dim, 128), nn.Tanh(), nn.Linear(128, 1))
    packed = {
        "mean": pyg.MeanAggregation(),
        "sum": pyg.SumAggregation(),
        "max": pyg.MaxAggregation(),
        "std": pyg.StdAggregation(),
        "attention": pyg.AttentionalAggregation(gate),
        "SAB + PMA": pyg.SetTransformerAggregation(dim, heads=heads, num_decoder_blocks=0),
    }
    found: dict[tuple[str, str], Peer] = {
        (name, "PyG"): (lambda x, m=module: m(x, sets.set_index, dim_size=len(sets)), sets.values)
        for name, module in packed.items()
    }
    for name, module in {
        "mean": mil.MeanPool(),
        "max": mil.MaxPool(),
        "attention": mil.AttentionPool(dim),
    }.items():
        found[name, "torchmil"] = (lambda x, m=module: m(x, mask), padded)
    return found

"""The parts of networks over sets: each takes `Sets` and gives `Sets`, or a tensor where it pools."""

from patchsets.set_module.attention import ISAB, MAB, PMA, SAB
from patchsets.set_module.elementwise import DeepSets, Each, EquivariantLinear, PatchLogits, SetNorm
from patchsets.set_module.pooling import AttentionPool, FSPool, Pool, SlotAttention, TopK
from patchsets.set_module.sets import Sets

__all__ = [
    "ISAB",
    "MAB",
    "PMA",
    "SAB",
    "AttentionPool",
    "DeepSets",
    "Each",
    "EquivariantLinear",
    "FSPool",
    "PatchLogits",
    "Pool",
    "SetNorm",
    "Sets",
    "SlotAttention",
    "TopK",
]

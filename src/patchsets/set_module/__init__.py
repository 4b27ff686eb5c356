"""The parts of networks over sets: each takes `Sets` and gives `Sets`, or a tensor where it pools."""

from patchsets.set_module.attention import ISAB, MAB, PMA, SAB
from patchsets.set_module.deep_sets import DeepSets, Each, EquivariantLinear
from patchsets.set_module.fspool import FSPool
from patchsets.set_module.normalization import SetNorm
from patchsets.set_module.patch_logits import PatchLogits
from patchsets.set_module.pooling import AttentionPool, Pool
from patchsets.set_module.sets import Sets
from patchsets.set_module.slots import SlotAttention

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
]

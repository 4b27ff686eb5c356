"""Random numbers of an example that seed, epoch and example alone decide: counters, hashed on any device.

Whoever asks, in whatever batch, process or order, is given the same ones; nothing has to be put back for a
resumed run. The hash is the finalizer of splitmix64 (Steele et al. 2014, Vigna's constants).
"""

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # odd: it reaches every number of 64 bits
SEED_STRIDE = 1_000_003  # keeps the epochs of two seeds apart


def example_keys(seed: int, epoch: int, index: Tensor) -> Tensor:
    """Return a key of 64 bits for each example `[B]`, by its row in the split `[B]`."""
    start = (seed * SEED_STRIDE + epoch + 2**63) % 2**64 - 2**63
    return _mixed(_mixed(index * GOLDEN) + start)


def random_bits(key: Tensor, counter: Tensor | int) -> Tensor:
    """Return whole numbers below 2^31, one for each key and counter (which broadcast)."""
    return _shifted(_mixed(key + counter * GOLDEN), 33)


def uniform(key_B: Tensor, count: int) -> Tensor:
    """Return `count` numbers in [0, 1) for each key `[B, count]`."""
    counter = torch.arange(1, count + 1, device=key_B.device)
    return (random_bits(key_B[:, None], counter) >> 7).float() / 2**24  # as many bits as a float has


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ _shifted(x, 27)) * (0x94D049BB133111EB - 2**64)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift to the right as if `x` had no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)

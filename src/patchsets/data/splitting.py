"""Splits fixed by a seed."""

from collections.abc import Sequence

import numpy as np


def split_rows(count: int, val: float, test: float, seed: int) -> dict[str, np.ndarray]:
    """Return which of `count` rows are train, val and test, by the fractions of the last two."""
    order = np.random.default_rng(seed).permutation(count)
    tested, validated = round(count * test), round(count * val)
    parts = np.split(order, [tested, tested + validated])
    return dict(zip(("test", "val", "train"), map(np.sort, parts), strict=True))


def hold_out(group: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out, bool: a share of the groups, one at least, and not all.

    Raises ValueError where there is one group only.
    """
    names, member = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{len(names)} groups cannot be divided")
    held = min(len(names) - 1, max(1, round(len(names) * fraction)))
    order = np.random.default_rng(seed).permutation(len(names))
    return np.isin(member, order[:held])


def split_groups(
    group: Sequence[str], label: np.ndarray, val: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Return which rows are train, val and test: of each class its share, rows of one group together.

    Test and val get one group of each class at least; a class of fewer than three is missing elsewhere.
    """
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    part = np.empty(len(first), np.int64)
    for class_ in np.unique(label[first]):
        groups = order[label[first[order]] == class_]
        tested, validated = (max(1, round(len(groups) * share)) for share in (test, val))
        part[groups] = np.digitize(np.arange(len(groups)), [tested, tested + validated])
    return {split: np.flatnonzero(part[member] == p) for p, split in enumerate(("test", "val", "train"))}

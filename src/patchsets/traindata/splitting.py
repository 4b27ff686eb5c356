"""Which raw image is for training and which for the test."""

from collections.abc import Sequence

import numpy as np

from patchsets.data.layout import GOOD
from patchsets.traindata.sources import Source


def split_sources(
    sources: Sequence[Source], sha256: Sequence[str], test_fraction: float, seed: int
) -> list[str] | None:
    """Return train or test for each raw image; None where there are too few groups to have both.

    Anomalies are for the test, and with them the good images of their groups. Images with the same pixels
    are of one group. A split that is known already is kept.
    """
    group = _joined([source.group for source in sources], sha256)
    anomalous = {group[row] for row, source in enumerate(sources) if source.kind != GOOD}
    good = sorted({group[row] for row, source in enumerate(sources) if source.kind == GOOD})
    free = [name for name in good if name not in anomalous]
    wanted = max(1, round(len(good) * test_fraction)) - (len(good) - len(free))
    if any(source.split is None for source in sources) and len(free) < 1 + max(wanted, 0):
        return None
    order = np.random.default_rng(seed).permutation(len(free))
    test = anomalous | {free[number] for number in order[: max(wanted, 0)]}
    return [source.split or ("test" if group[row] in test else "train") for row, source in enumerate(sources)]


def _joined(groups: Sequence[str], sha256: Sequence[str]) -> list[str]:
    """Return for each image the name of its group, after those that share an image became one."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group, digest in zip(groups, sha256, strict=True):
        one, other = sorted((root(f"group {group}"), root(f"pixels {digest}")))
        parent[other] = one
    return [root(f"group {group}") for group in groups]

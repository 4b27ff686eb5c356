"""What one number of the raw image reaches: a result near it is no achievement, or a leak in the data."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from patchsets.anomaly.auroc import auroc

STATISTICS = ("mean", "standard deviation", "range")
DIRECTIONS = {"high": 1, "low": -1}


class Trivial(NamedTuple):
    """The AUROC of the best trivial score, and which one it is."""

    auroc: float
    name: str


def trivial_scores(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean, standard deviation and range of the values of each image `[N]`, by name."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return dict(zip(STATISTICS, (flat.mean(1), flat.std(1), np.ptp(flat, axis=1)), strict=True))


def best_trivial(images: np.ndarray, is_anomaly: np.ndarray) -> Trivial:
    """Return the best of three statistics in both directions.

    It is chosen on the images it is judged by, as one of six: chance itself reaches somewhat more than 0.5.
    """
    return best_of(trivial_scores(images), is_anomaly)


def best_of(scores: Mapping[str, np.ndarray], is_anomaly: np.ndarray) -> Trivial:
    """Return the best of some scores `[N]` in both directions."""
    return max(
        Trivial(auroc(sign * score, is_anomaly), f"{direction} {name}")
        for name, score in scores.items()
        for direction, sign in DIRECTIONS.items()
    )

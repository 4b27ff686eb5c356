"""How often the 95 % intervals of AUROCs hold the truth, on simulated scores."""

import math

import numpy as np
from scipy.stats import norm

from patchsets.anomaly.auroc import difference_interval, placements

# Anomalies, good examples, and how much higher the anomalies' normal scores lie.
CASES = (
    (5, 20, 1.5),
    (20, 40, 2.0),
    (20, 40, 3.0),
    (60, 20, 3.3),
    (8, 100, 3.0),
    (50, 50, 2.5),
    (100, 60, 1),
)


def true_auroc(shift: float) -> float:
    """Return the AUROC of normal scores that lie apart by a shift."""
    return float(norm.cdf(shift / 2**0.5))


def coverage(anomalies: int, good: int, shift: float, draws: int) -> float:
    """Return the share of simulated splits whose interval holds the true AUROC."""
    random = np.random.default_rng(0)
    is_anomaly = np.arange(anomalies + good) < anomalies
    true, held = true_auroc(shift), 0
    for _ in range(draws):
        low, high = placements(random.normal(size=len(is_anomaly)) + shift * is_anomaly, is_anomaly).interval
        held += low <= true <= high
    return held / draws


def coverage_of_difference(
    anomalies: int, good: int, shifts: tuple[float, float], correlation: float, draws: int
) -> float:
    """Return the share of simulated splits, scored twice, whose interval holds the true difference."""
    random = np.random.default_rng(0)
    is_anomaly = np.arange(anomalies + good) < anomalies
    true, held = true_auroc(shifts[0]) - true_auroc(shifts[1]), 0
    for _ in range(draws):
        one, other = random.normal(size=(2, len(is_anomaly)))
        other = correlation * one + math.sqrt(1 - correlation**2) * other
        parts = [
            placements(noise + shift * is_anomaly, is_anomaly)
            for noise, shift in zip((one, other), shifts, strict=True)
        ]
        low, high = difference_interval(*parts)
        held += low <= true <= high
    return held / draws

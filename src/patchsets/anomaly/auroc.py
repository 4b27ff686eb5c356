"""The area under the ROC curve (AUROC): one function for all tasks, and how far it can be trusted.

Shapes: N examples, of which A are anomalies, or of the positive class, and G are good, or of the other class.
"""

import math
from typing import NamedTuple

import numpy as np

Z = 1.959964  # standard errors on either side of a 95 % interval
Interval = tuple[float, float]


def auroc(score: np.ndarray, is_anomaly: np.ndarray) -> float:
    """Return the AUROC of scores `[N]`; NaN where a score is not finite, or one of the classes is missing."""
    from sklearn.metrics import roc_auc_score

    if not np.isfinite(score).all() or len(np.unique(is_anomaly)) < 2:
        return math.nan
    return float(roc_auc_score(is_anomaly, score))


def auroc_interval(area: float, anomalies: int, good: int) -> Interval:
    """Return the 95 % interval of an AUROC that was measured on A anomalies and G good examples.

    Newcombe's score interval (2006, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", method 5): all areas that lie at most 1.96 of their own standard errors
    (Hanley and McNeil 1982) from the measured one.
    """
    return _lower_end(area, anomalies, good), 1 - _lower_end(1 - area, anomalies, good)


def _lower_end(area: float, anomalies: int, good: int) -> float:
    from scipy.optimize import brentq

    def excess(low: float) -> float:
        return (area - low) ** 2 - Z**2 * _variance(low, anomalies, good)

    return float(brentq(excess, 0, min(area, 1 - 1e-12))) if area > 0 else 0.0


def _variance(area: float, anomalies: int, good: int) -> float:
    """Return the variance of an AUROC (Hanley and McNeil 1982), both classes counted as their mean size."""
    others = (anomalies + good) / 2 - 1
    pairs = anomalies * good
    return area * (1 - area) / pairs * (1 + others * ((1 - area) / (2 - area) + area / (1 + area)))


class Placements(NamedTuple):
    """Where each example lies among those of the other class (DeLong et al. 1988); the mean is the AUROC."""

    of_anomalies: np.ndarray  # [A] share of the good examples with a lower score
    of_good: np.ndarray  # [G] share of the anomalies with a higher score

    @property
    def area(self) -> float:
        """The AUROC."""
        return float(self.of_anomalies.mean())

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the AUROC."""
        return auroc_interval(self.area, len(self.of_anomalies), len(self.of_good))


def placements(score: np.ndarray, is_anomaly: np.ndarray) -> Placements:
    """Return where each of the N examples lies; equal scores count half."""
    bad, good = score[is_anomaly], score[~is_anomaly]
    return Placements(_share_below(bad, good), 1 - _share_below(good, bad))


def _share_below(score: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, score, side) for side in ("left", "right"))
    share: np.ndarray = (below + not_above) / (2 * len(others))
    return share


def mean_placements(parts: list[Placements]) -> Placements:
    """Return the placements of several scores of the same examples; their area is the mean AUROC."""
    return Placements(*(np.mean(values, axis=0) for values in zip(*parts, strict=True)))


def difference_interval(one: Placements, other: Placements) -> Interval:
    """Return the 95 % interval of the difference, one less the other, of two AUROCs of the same examples.

    MOVER (Zou and Donner 2008, "Construction of confidence limits about effect measures") from the score
    interval of each. The correlation is DeLong's covariance (1988) over the larger of DeLong's variance and
    Hanley and McNeil's: with DeLong's alone the interval of two nearly equal rankings is too short.
    """
    sizes = len(one.of_anomalies), len(one.of_good)
    of_anomalies, of_good = (_covariance(a, b) / len(a) for a, b in zip(one, other, strict=True))
    covariance = of_anomalies + of_good
    variances = [
        max(float(covariance[n, n]), _variance(each.area, *sizes)) for n, each in enumerate((one, other))
    ]
    scale = math.sqrt(math.prod(variances))
    correlation = float(covariance[0, 1]) / scale if scale > 0 else 0.0
    difference = one.area - other.area
    return (
        difference - _reach(one.area - one.interval[0], other.interval[1] - other.area, correlation),
        difference + _reach(one.interval[1] - one.area, other.area - other.interval[0], correlation),
    )


def _covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the covariance matrix `[2, 2]`; of a single example, which has none, zeros."""
    return np.cov(a, b) if len(a) > 1 else np.zeros((2, 2))


def _reach(of_one: float, of_other: float, correlation: float) -> float:
    """Return how far the difference reaches, from how far each of the two does on that side."""
    return math.sqrt(max(0.0, of_one**2 + of_other**2 - 2 * correlation * of_one * of_other))

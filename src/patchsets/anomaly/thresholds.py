"""From which score on an image is an anomaly: learned from the validation split, never from the test.

Shapes: N images.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from patchsets.anomaly.judged import JudgedImages
from workbench.common.errors import ConfigError, DataError

SIGMAS = 3.0
ThresholdMethod = Literal["quantile", "f1", "k_sigma"]  # how it is chosen on the validation split
THRESHOLDS = get_args(ThresholdMethod)


@dataclass(frozen=True)
class Threshold:
    """An image is an anomaly when its score is above `value`.

    `nominal_rate` is the share of good images at most called anomalies, where the method promises one: it
    holds for images exchangeable with the calibration ones. `note` says what a reader should know.
    """

    value: float
    method: str  # one of THRESHOLDS, manual, or oracle: chosen on the very images it is judged by
    calibration: np.ndarray = field(repr=False)  # [n] sorted scores of held-out good images
    nominal_rate: float | None = None
    note: str = ""

    def is_anomaly(self, score: np.ndarray) -> np.ndarray:
        """Decide on scores `[N]`, bool."""
        return np.asarray(score) > self.value

    def p_value(self, score: np.ndarray) -> np.ndarray:
        """Return the conformal p-value `[N]`: (1 + held-out good images scoring as high or higher) / (n + 1).

        Small is anomalous. A good image has a p-value of at most `a` with a probability of at most `a`
        (Bates et al. 2023, "Testing for outliers with conformal p-values").
        """
        n = len(self.calibration)
        as_high_or_higher = n - np.searchsorted(self.calibration, np.asarray(score), side="left")
        return (1 + as_high_or_higher) / (n + 1)


def choose_threshold(
    method: str | float, validation: JudgedImages, false_positive_rate: float = 0.05
) -> Threshold:
    """Return the threshold that a word of THRESHOLDS finds, or the number given.

    Raises ConfigError for what is neither, or for f1 without anomalies to learn from; DataError where the
    validation split has no good image.
    """
    good = np.sort(validation.score[~validation.is_anomaly])
    if not len(good):
        raise DataError("the validation split has no good image to learn a threshold from")
    if isinstance(method, int | float):
        return Threshold(float(method), "manual", good)
    if method == "quantile":
        return conformal_quantile(good, false_positive_rate)
    if method == "k_sigma":
        return Threshold(float(good.mean() + SIGMAS * good.std()), "k_sigma", good)
    if method == "f1":
        return _f1_of_validation(validation, good)
    raise ConfigError(f"hparams.threshold: {method!r} is none of {', '.join(THRESHOLDS)}, nor a number")


def conformal_quantile(good: np.ndarray, false_positive_rate: float) -> Threshold:
    """Return the threshold that at most so many good images pass (split conformal prediction).

    It is the score of rank ceil((n + 1) (1 - rate)) among the n sorted `good` ones. n images certify no rate
    below 1 / (n + 1): then it is the highest score, the nominal rate is 1 / (n + 1), and the note says so.
    """
    n = len(good)
    may_be_above = math.floor((n + 1) * false_positive_rate + 1e-9)  # 100 * 0.07 is 7.000000000000001
    if may_be_above >= 1:
        return Threshold(float(good[n - may_be_above]), "quantile", good, false_positive_rate)
    note = (
        f"{n} held-out good images certify no false-positive rate below {1 / (n + 1):.2g}; "
        f"{false_positive_rate:g} needs {math.ceil(1 / false_positive_rate - 1e-9) - 1}"
    )
    return Threshold(float(good[-1]), "quantile", good, 1 / (n + 1), note)


def best_f1(score: np.ndarray, is_anomaly: np.ndarray) -> tuple[float, float]:
    """Return the highest F1 that any threshold gives these N images, and that threshold.

    It lies half-way to the next lower score, so that images like these stay on their side.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, lowest_above = precision_recall_curve(is_anomaly, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())
    below = score[score < lowest_above[best]].max(initial=-np.inf)
    value = (below + lowest_above[best]) / 2 if np.isfinite(below) else np.nextafter(score.min(), -np.inf)
    return float(f1[best]), float(value)


def oracle(test: JudgedImages) -> Threshold:
    """Return the threshold with the best F1 on the images it is judged by: a bound, never to be deployed."""
    _, value = best_f1(test.score, test.is_anomaly)
    return Threshold(value, "oracle", np.sort(test.score[~test.is_anomaly]))


def _f1_of_validation(validation: JudgedImages, good: np.ndarray) -> Threshold:
    if not validation.has_both:
        raise ConfigError(
            "hparams.threshold: f1 needs anomalies in the validation split, a folder val/<kind>, "
            "and there are none; use quantile"
        )
    _, value = best_f1(validation.score, validation.is_anomaly)
    return Threshold(value, "f1", good)


SURPRISING = 0.01  # probability below which a false-positive rate is no chance


def describe_drift(threshold: Threshold, good_score: np.ndarray) -> str:
    """Return a line where good images pass a threshold far more or less often than it promised; else "".

    For images like the calibration ones, the number above the a-th highest of n scores is beta-binomial
    with a and n + 1 - a.
    """
    if threshold.nominal_rate is None or not len(good_score):
        return ""
    from scipy.stats import betabinom

    n, alarms = len(threshold.calibration), int(threshold.is_anomaly(good_score).sum())
    a = int((threshold.calibration >= threshold.value).sum())
    expected = betabinom(len(good_score), a, n + 1 - a)
    if min(expected.cdf(alarms), expected.sf(alarms - 1)) > SURPRISING / 2:
        return ""
    return (
        f"{alarms} of {len(good_score)} good test images are called anomalies, where the threshold promised "
        f"{threshold.nominal_rate:.1%}: good images of test and validation differ"
    )

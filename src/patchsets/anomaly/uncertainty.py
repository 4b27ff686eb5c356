"""How far a figure measured on a few hundred images can be trusted.

Shapes: N images, A anomalies and G good ones among them, D draws, F false-positive rates.
"""

import numpy as np

from patchsets.anomaly.thresholds import Threshold

DRAWS = 1000
CONFIDENCE = 0.95
TAIL = 100 * (1 - CONFIDENCE) / 2
SURPRISING = 0.01  # probability below which a false-positive rate is no chance


def auroc_interval(score: np.ndarray, is_anomaly: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC by the stratified bootstrap."""
    return interval(resampled_aurocs(score, is_anomaly), is_anomaly)


def interval(auroc_D: np.ndarray, is_anomaly: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of an AUROC from its resamplings.

    A split ranked without a mistake has none in any resampling: the lower end is then that of as many
    independent pairs, of a good image and an anomaly, as there are, all in order (Clopper and Pearson).
    """
    low, high = np.percentile(auroc_D, (TAIL, 100 - TAIL))
    if low == 1:
        pairs = min(int(is_anomaly.sum()), int((~is_anomaly).sum()))
        low = (TAIL / 100) ** (1 / pairs)
    return float(low), float(high)


def resampled_aurocs(score: np.ndarray, is_anomaly: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the AUROC of each resampling `[D]`: good images and anomalies drawn apart, as many as there are.

    The same labels and seed draw the same images, so that the difference of two scores on one split is
    paired: subtract their results.
    """
    drawn_DA, drawn_DG = _draws(is_anomaly, seed)
    bad, good = score[is_anomaly, None], score[None, ~is_anomaly]
    in_order_AG = (bad > good) + 0.5 * (bad == good)
    return ((drawn_DA @ in_order_AG) * drawn_DG).sum(axis=1) / in_order_AG.size


def roc_band(score: np.ndarray, is_anomaly: np.ndarray, rate_F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % band of the true-positive rate `[F]` at each false-positive rate, by the bootstrap."""
    values, place_N = np.unique(-score, return_inverse=True)
    bad, good = place_N[is_anomaly], place_N[~is_anomaly]
    curves = []
    for drawn_A, drawn_G in zip(*_draws(is_anomaly, seed=0), strict=True):
        true, false = (
            np.append(0, np.bincount(place, drawn, len(values)).cumsum() / len(place))
            for place, drawn in ((bad, drawn_A), (good, drawn_G))
        )
        curves.append(np.interp(rate_F, false, true))
    low, high = np.percentile(curves, (TAIL, 100 - TAIL), axis=0)
    return low, high


def _draws(is_anomaly: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each anomaly `[D, A]` and each good image `[D, G]` is drawn."""
    random = np.random.default_rng(seed)
    bad, good = (
        random.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float32)
        for n in (int(is_anomaly.sum()), int((~is_anomaly).sum()))
    )
    return bad, good


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

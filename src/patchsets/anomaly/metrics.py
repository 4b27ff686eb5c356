"""How well a map finds the place of a defect: exact, though a split has millions of pixels.

All follow from one thing: the false-positive rate at the score of each anomalous pixel. So only the good
pixels' scores are sorted, and no curve is ever made. Shapes: N images, P anomalous pixels.

What a run says of its test split in numbers; what cannot be known is left out, never made up.
"""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import label

from patchsets.anomaly.auroc import auroc, auroc_interval
from patchsets.anomaly.judged import CLASSES, JudgedImages
from patchsets.anomaly.thresholds import Threshold, best_f1
from patchsets.anomaly.trivial import best_trivial

TOUCHING = np.ones((3, 3))  # pixels that meet in a corner are one region
AU_PRO_LIMITS = {"au_pro": 0.3, "au_pro_5": 0.05}  # false-positive rates up to which it is averaged


def pixel_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return AUROC, average precision and AU-PRO of maps `[N, H, W]` against masks `[N, H, W]` bool.

    AU-PRO is the per-region overlap averaged over the false-positive rates up to 0.3, or to 0.05, and
    divided by that limit (Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset"). Empty where either
    kind of pixel is missing.
    """
    if masks.all() or not masks.any():
        return {}
    score_P = maps[masks]
    good = np.sort(maps[~masks])
    # A good pixel with an equal score counts as above and as not above.
    above_P, above_or_equal_P = (
        1 - np.searchsorted(good, score_P, side=side) / len(good) for side in ("right", "left")
    )
    share_P = _share_of_its_region(masks)
    return {
        "pixel_auroc": float(1 - (above_P + above_or_equal_P).mean() / 2),
        "pixel_average_precision": _average_precision(score_P, above_or_equal_P * len(good)),
        **{
            name: _area_up_to(limit, above_P, above_or_equal_P, share_P)
            for name, limit in AU_PRO_LIMITS.items()
        },
    }


def _average_precision(score_P: np.ndarray, false_P: np.ndarray) -> float:
    """Return the mean, over the anomalous pixels, of the precision at the score of each."""
    true_P = len(score_P) - np.searchsorted(np.sort(score_P), score_P, side="left")
    return float((true_P / (true_P + false_P)).mean())


def _area_up_to(limit: float, low_P: np.ndarray, high_P: np.ndarray, share_P: np.ndarray) -> float:
    """Return the area, over 0..limit, under a curve rising by each pixel's share between its two rates."""
    width_P = np.maximum(high_P - low_P, 1e-300)
    rising_P = np.clip(limit - low_P, 0, high_P - low_P)
    return float((share_P * (rising_P**2 / (2 * width_P) + np.maximum(limit - high_P, 0))).sum() / limit)


def _share_of_its_region(masks: np.ndarray) -> np.ndarray:
    """Return `[P]`: one over the pixels of its region, and over the number of regions."""
    shares, regions = [], 0
    for mask in masks[masks.any(axis=(1, 2))]:
        number_HW, found = label(mask, TOUCHING)
        number_p = number_HW[mask]
        shares.append(1 / np.bincount(number_p)[number_p])
        regions += found
    return np.concatenate(shares) / regions


QUANTILES = (5, 50, 95)
FEW_FALSE_POSITIVES = (1, 5)  # percent
Named = Iterator[tuple[str, float]]


def evaluate(test: JudgedImages, validation: JudgedImages, threshold: Threshold) -> dict[str, float]:
    """Return the metrics of the test split by name.

    Of the ranking: auroc, with its 95 % interval auroc_low and auroc_high, average_precision,
    recall_at_1_percent and recall_at_5_percent false positives, auroc_by_score/<map>_<pooling>,
    auroc_by_kind/<kind>. Of the decision at the deployed threshold: accuracy, precision, recall,
    false_positive_rate beside the nominal one, recall_by_kind/<kind>; oracle_f1 is a bound, chosen on test.
    Of the place: see pixel_metrics. Beside them trivial_auroc and, per class and split, the scores' mean,
    standard deviation and quantiles.
    """
    known = test.mask_is_known
    metrics = dict(_of_ranking(test)) if test.has_both else {}
    metrics |= dict(_of_decision(test, threshold))
    if test.maps is not None and test.masks is not None:
        metrics |= pixel_metrics(test.maps[known], test.masks[known])
    if test.has_both:
        metrics |= dict(_aurocs(test))
    return metrics | dict(_of_scores(test, "score")) | dict(_of_scores(validation, "validation_score"))


def _of_ranking(test: JudgedImages) -> Named:
    from sklearn.metrics import average_precision_score, roc_curve

    score, is_anomaly = test.score, test.is_anomaly
    area, anomalies = auroc(score, is_anomaly), int(is_anomaly.sum())
    yield "auroc", area
    interval = auroc_interval(area, anomalies, len(score) - anomalies)
    yield from zip(("auroc_low", "auroc_high"), interval, strict=True)
    if test.images is not None:
        yield "trivial_auroc", best_trivial(test.images, test.is_anomaly).auroc
    yield "average_precision", float(average_precision_score(is_anomaly, score))
    false, true, _ = roc_curve(is_anomaly, score)
    for percent in FEW_FALSE_POSITIVES:
        yield f"recall_at_{percent}_percent", float(true[false <= percent / 100].max())
    yield "oracle_f1", best_f1(score, is_anomaly)[0]


def _of_decision(test: JudgedImages, threshold: Threshold) -> Named:
    is_anomaly, alarm = test.is_anomaly, threshold.is_anomaly(test.score)
    yield "accuracy", float((alarm == is_anomaly).mean())
    if alarm.any():
        yield "precision", float(is_anomaly[alarm].mean())
    if is_anomaly.any():
        yield "recall", float(alarm[is_anomaly].mean())
    if not is_anomaly.all():
        yield "false_positive_rate", float(alarm[~is_anomaly].mean())
    if threshold.nominal_rate is not None:
        yield "nominal_false_positive_rate", threshold.nominal_rate
    yield "threshold", threshold.value
    for kind, rows in test.kinds().items():
        if is_anomaly[rows].any():
            yield f"recall_by_kind/{kind}", float(alarm[rows & is_anomaly].mean())


def _aurocs(test: JudgedImages) -> Named:
    """Give the AUROC of each score, and of each kind of defect against all good images."""
    for name, score in test.scores.items():
        plain = name.replace("/", "_").replace("+", "_")
        yield f"auroc_by_score/{plain}", auroc(score, test.is_anomaly)
    for kind, rows in test.kinds().items():
        these = rows | ~test.is_anomaly
        if (rows & test.is_anomaly).any():
            yield f"auroc_by_kind/{kind}", auroc(test.score[these], test.is_anomaly[these])


def _of_scores(judged: JudgedImages, name: str) -> Named:
    for number, word in enumerate(CLASSES):
        score = judged.score[judged.label == number]
        if len(score):
            yield f"{name}_{word}/mean", float(score.mean())
            yield f"{name}_{word}/std", float(score.std())
            for percent, value in zip(QUANTILES, np.percentile(score, QUANTILES), strict=True):
                yield f"{name}_{word}/q{percent:02}", float(value)

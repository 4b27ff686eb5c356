"""What a run says of its test split in numbers; what cannot be known is left out, never made up."""

from collections.abc import Iterator

import numpy as np

from patchsets.anomaly.judged import CLASSES, JudgedImages
from patchsets.anomaly.pixel_metrics import pixel_metrics
from patchsets.anomaly.thresholds import Threshold, best_f1
from patchsets.anomaly.trivial import best_trivial
from patchsets.anomaly.uncertainty import auroc_interval

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
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    score, is_anomaly = test.score, test.is_anomaly
    yield "auroc", float(roc_auc_score(is_anomaly, score))
    yield from zip(("auroc_low", "auroc_high"), auroc_interval(score, is_anomaly), strict=True)
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
    from sklearn.metrics import roc_auc_score

    for name, score in test.scores.items():
        plain = name.replace("/", "_").replace("+", "_")
        yield f"auroc_by_score/{plain}", float(roc_auc_score(test.is_anomaly, score))
    for kind, rows in test.kinds().items():
        these = rows | ~test.is_anomaly
        if (rows & test.is_anomaly).any():
            yield f"auroc_by_kind/{kind}", float(roc_auc_score(test.is_anomaly[these], test.score[these]))


def _of_scores(judged: JudgedImages, name: str) -> Named:
    for label, word in enumerate(CLASSES):
        score = judged.score[judged.label == label]
        if len(score):
            yield f"{name}_{word}/mean", float(score.mean())
            yield f"{name}_{word}/std", float(score.std())
            for percent, value in zip(QUANTILES, np.percentile(score, QUANTILES), strict=True):
                yield f"{name}_{word}/q{percent:02}", float(value)

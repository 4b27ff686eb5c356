"""The numbers of a run equal those of scikit-learn, of a direct computation, or of a count by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_examples import judged, scored
from scipy.ndimage import label as connected
from sklearn import metrics as reference

from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.metrics import evaluate, pixel_metrics
from patchsets.anomaly.thresholds import (
    choose_threshold,
    conformal_quantile,
    describe_drift,
)
from patchsets.anomaly.trivial import best_trivial
from workbench.common.errors import UserError


def by_hand_au_pro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Follow the definition: overlap of each region and false-positive rate at every threshold there is."""
    regions = [
        (n, number == part)
        for n, mask in enumerate(masks)
        for number, parts in [connected(mask, np.ones((3, 3)))]
        for part in range(1, parts + 1)
    ]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        rates.append(found[~masks].mean())
        overlaps.append(np.mean([found[n][region].mean() for n, region in regions]))
    inside = [rate for rate in rates if rate < limit]
    x = np.array([*inside, limit])
    last = len(inside)
    steep = (limit - rates[last - 1]) / (rates[last] - rates[last - 1]) if last < len(rates) else 0
    at_limit = overlaps[last - 1] + steep * (overlaps[min(last, len(rates) - 1)] - overlaps[last - 1])
    return float(np.trapezoid([*overlaps[:last], at_limit], x) / limit)


@settings(deadline=None, database=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([3, 20, 1000]))
def test_pixel_metrics_by_their_definitions(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    masks = random.random((3, 7, 9)) < 0.15
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    maps = random.integers(0, levels, masks.shape) + masks * random.integers(0, levels)
    found = pixel_metrics(maps.astype(np.float32), masks)
    assert found["pixel_auroc"] == pytest.approx(reference.roc_auc_score(masks.ravel(), maps.ravel()))
    assert found["pixel_average_precision"] == pytest.approx(
        reference.average_precision_score(masks.ravel(), maps.ravel())
    )
    for name, limit in (("au_pro", 0.3), ("au_pro_5", 0.05)):
        assert found[name] == pytest.approx(by_hand_au_pro(maps, masks, limit), abs=1e-9)


def test_a_perfect_map_and_one_that_says_nothing() -> None:
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[0, 2:4, 2:4] = masks[0, 6, 6] = True
    assert set(pixel_metrics(masks.astype(np.float32), masks).values()) == {1.0}
    flat = pixel_metrics(np.zeros(masks.shape, np.float32), masks)
    assert flat["pixel_auroc"] == 0.5 and flat["au_pro"] == pytest.approx(0.15)  # a straight line up to 0.3
    assert pixel_metrics(flat["au_pro"] * masks, np.zeros_like(masks)) == {}


def test_metrics_of_the_ranking_are_scikit_learns() -> None:
    test, validation = judged(40, 30, shift=0.3), judged(50, 0, seed=1)
    found = evaluate(test, validation, choose_threshold("quantile", validation))
    y, score = test.label, test.score
    assert found["auroc"] == pytest.approx(reference.roc_auc_score(y, score)) and 0.5 < found["auroc"] < 1
    assert found["auroc_by_score/l2_mean"] == found["auroc"] != found["auroc_by_score/l2_max"]
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(y, score))
    assert found["auroc_low"] < found["auroc"] < found["auroc_high"]
    cut = np.sort(score[y == 0])[-3]  # 5 % of 40 good images is two of them
    assert found["recall_at_5_percent"] == (score[y == 1] > cut).mean()
    assert found["auroc_by_kind/spot"] == pytest.approx(
        reference.roc_auc_score(
            [0] * 40 + [1] * 15, np.append(score[y == 0], score[np.array(test.kind) == "spot"])
        )
    )
    assert found["score_good/mean"] == pytest.approx(score[y == 0].mean())
    assert found["validation_score_good/q50"] == pytest.approx(np.median(validation.score))


def test_metrics_of_the_decision_by_counting() -> None:
    test = scored(np.array([0, 1, 2, 9]), np.array([3, 8, 10, 11, 12]))
    found = evaluate(test, test, choose_threshold(8.5, test))
    assert found["accuracy"] == 6 / 9 and found["precision"] == 3 / 4 and found["recall"] == 3 / 5
    assert found["false_positive_rate"] == 1 / 4 and found["recall_by_kind/defect"] == 3 / 5
    assert found["threshold"] == 8.5 and "nominal_false_positive_rate" not in found
    assert not any(name.startswith(("pixel", "au_pro", "trivial")) for name in found)


def test_a_split_of_one_class_gives_what_can_be_known() -> None:
    good = scored(np.arange(40.0), np.array([]))
    found = evaluate(good, good, choose_threshold("quantile", good))
    assert found["accuracy"] == 39 / 40 and found["false_positive_rate"] == 1 / 40
    assert not {"auroc", "recall", "oracle_f1", "trivial_auroc"} & set(found)
    assert "precision" not in evaluate(good, good, choose_threshold(99.0, good))  # no alarm: no precision


def test_a_score_that_is_no_number_is_named_with_its_file() -> None:
    with pytest.raises(UserError, match=r"1 of 3 scores own/max are no finite numbers: b\.png"):
        JudgedImages(
            {"own/max": np.array([0.1, np.nan, 0.3])}, "own/max", np.array([0, 0, 1]),
            ["good", "good", "hole"], ["a.png", "b.png", "c.png"], np.arange(3),
        )  # fmt: skip


def test_the_trivial_baseline_finds_a_leak_in_either_direction() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 200, (60, 8, 8), dtype=np.uint8)
    is_anomaly = np.arange(60) >= 30
    assert best_trivial(images, is_anomaly).auroc < 0.75
    images[is_anomaly] //= 2
    assert best_trivial(images, is_anomaly).auroc == 1 and best_trivial(images, ~is_anomaly).auroc == 1
    images = np.repeat(images[..., None], 3, axis=-1)
    images[is_anomaly] += 60
    images[is_anomaly, 0, 0] = 0
    assert best_trivial(images, is_anomaly).auroc == 1.0


def test_drift_is_told_from_chance() -> None:
    threshold = conformal_quantile(np.arange(100.0), 0.05)
    same, shifted = np.arange(100.0), np.arange(100.0) + 25
    assert describe_drift(threshold, same) == ""
    assert "29 of 100 good test images are called anomalies" in describe_drift(threshold, shifted)
    assert "promised 5.0%" in describe_drift(threshold, shifted)
    assert describe_drift(choose_threshold(3.0, scored(same, np.array([]))), shifted) == ""

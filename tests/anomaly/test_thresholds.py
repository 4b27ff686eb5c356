"""A threshold keeps the promise it makes, and says when it makes none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_examples import judged, scored
from sklearn.metrics import f1_score

from patchsets.anomaly.detector import colour_range
from patchsets.anomaly.thresholds import best_f1, choose_threshold, conformal_quantile, oracle
from workbench.common.errors import ConfigError, DataError, UserError

NONE = np.array([])
SCORES = st.lists(st.integers(0, 20), min_size=1, max_size=40).map(np.array)


def test_ranks_of_the_conformal_quantile() -> None:
    good = np.arange(1.0, 100.0)  # 99 of them: the k-th score is k
    for rate, rank in ((0.05, 95), (0.01, 99), (0.07, 93), (0.1, 90), (0.5, 50), (0.055, 95)):
        threshold = conformal_quantile(good, rate)
        assert (threshold.value, threshold.nominal_rate, threshold.note) == (rank, rate, "")


def test_too_few_images_for_a_rate_are_said_and_what_they_certify_is_given() -> None:
    threshold = conformal_quantile(np.arange(9.0), 0.05)
    assert threshold.value == 8 and threshold.nominal_rate == 0.1
    assert "9 held-out good images certify no false-positive rate below 0.1" in threshold.note
    assert "needs 19" in threshold.note
    assert conformal_quantile(np.arange(19.0), 0.05).note == ""


@settings(deadline=None, database=None, max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60), st.floats(0.01, 0.9))
def test_no_image_can_make_the_promise_false(values: list[float], rate: float) -> None:
    # Exchangeability by hand: each of the n + 1 values in turn is the new one, all equally likely to be.
    values_N = np.array(values)
    alarms = 0
    for i, new in enumerate(values_N):
        threshold = conformal_quantile(np.sort(np.delete(values_N, i)), rate)
        alarms += int(threshold.is_anomaly(new))
        assert threshold.nominal_rate is not None
    assert alarms <= len(values) * threshold.nominal_rate + 1e-9


@settings(deadline=None, database=None, max_examples=50)
@given(SCORES, SCORES, st.floats(0.01, 0.9))
def test_p_values_count_and_agree_with_the_decision(good: np.ndarray, new: np.ndarray, rate: float) -> None:
    threshold = conformal_quantile(np.sort(good), rate)
    p = threshold.p_value(new)
    np.testing.assert_allclose(p, [(1 + (good >= s).sum()) / (len(good) + 1) for s in new])
    assert (np.diff(p[np.argsort(new, kind="stable")]) <= 0).all()
    if not threshold.note:
        np.testing.assert_array_equal(threshold.is_anomaly(new), p <= rate + 1e-9)


@settings(deadline=None, database=None, max_examples=50)
@given(SCORES, SCORES)
def test_best_f1_is_the_best_of_all_thresholds(good: np.ndarray, bad: np.ndarray) -> None:
    images = scored(good, bad)
    f1, value = best_f1(images.score, images.is_anomaly)
    reached = [
        2 * (bad > t).sum() / (len(bad) + (images.score > t).sum()) for t in (-1, *np.unique(images.score))
    ]
    assert f1 == pytest.approx(max(reached))
    assert f1 == pytest.approx(f1_score(images.is_anomaly, images.score > value))
    assert oracle(images).value == value and oracle(images).method == "oracle"


def test_methods_by_name() -> None:
    good, bad = np.arange(100.0), np.array([150.0, 250.0])
    images = scored(good, bad)
    assert choose_threshold("k_sigma", images).value == pytest.approx(good.mean() + 3 * good.std())
    assert choose_threshold("f1", images).value == pytest.approx((99 + 150) / 2)
    manual = choose_threshold(0.25, images)
    assert (manual.value, manual.method, manual.nominal_rate) == (0.25, "manual", None)
    default = choose_threshold("quantile", images)
    assert default.value == 95 and default.nominal_rate == 0.05
    assert len(default.calibration) == 100  # the anomalies are no part of it


def test_what_cannot_be_learned_is_refused_in_a_line() -> None:
    only_good = scored(np.arange(5.0), NONE)
    with pytest.raises(ConfigError, match="f1 needs anomalies"):
        choose_threshold("f1", only_good)
    with pytest.raises(ConfigError, match=r"quantle.*is none of quantile, f1, k_sigma"):
        choose_threshold("quantle", only_good)
    with pytest.raises(DataError, match="no good image"):
        choose_threshold("quantile", scored(NONE, np.arange(5.0)))
    with pytest.raises(UserError, match="1 of 2 scores own/max are no finite"):
        scored(np.array([1.0, np.nan]), NONE)


def test_what_is_known_of_judged_images() -> None:
    images = judged(3, 4)
    assert {name: int(rows.sum()) for name, rows in images.kinds().items()} == {
        "good": 3,
        "scratch": 2,
        "spot": 2,
    }
    assert next(iter(images.kinds())) == "good"
    assert images.has_both and images.mask_is_known.all()
    assert images.masks is not None
    images.masks[3] = False
    assert images.mask_is_known.tolist() == [True] * 3 + [False] + [True] * 3


def test_the_colours_of_good_maps_stay_below_the_contour() -> None:
    maps = judged(20, 0).maps
    assert maps is not None
    low, contour, high = colour_range(maps)
    assert (maps > contour).mean() == pytest.approx(0.001, abs=3e-4)
    assert (maps > low).mean() == pytest.approx(0.5, abs=1e-3) and high > contour
    flat = colour_range(np.full((2, 4, 4), 0.3))
    assert flat.high > flat.low

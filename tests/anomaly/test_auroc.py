"""The AUROC is scikit-learn's, and its intervals hold the truth as often as they say."""

import math

import numpy as np
import pytest
from simulated import CASES, coverage, coverage_of_difference
from sklearn.metrics import roc_auc_score

from patchsets.anomaly.auroc import (
    auroc,
    auroc_interval,
    difference_interval,
    mean_placements,
    placements,
)

DRAWS = 1000
ERROR = 3 * math.sqrt(0.05 * 0.95 / DRAWS)


@pytest.mark.parametrize("case", CASES)
def test_the_interval_holds_the_true_area_as_often_as_it_says(case: tuple[int, int, float]) -> None:
    assert 0.94 - ERROR < coverage(*case, DRAWS) < 0.98 + ERROR


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("correlation", [0.0, 0.98])
def test_the_interval_of_a_difference_holds_the_truth_at_least_as_often(
    case: tuple[int, int, float], correlation: float
) -> None:
    anomalies, good, shift = case
    found = coverage_of_difference(anomalies, good, (shift, shift / 2), correlation, 300)
    assert found > 0.94 - ERROR * math.sqrt(DRAWS / 300)


def test_the_area_and_its_parts_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    is_anomaly = np.arange(50) < 20
    scores = [random.integers(0, 9, 50) + 2.0 * is_anomaly for _ in range(2)]  # with many ties
    areas = [roc_auc_score(is_anomaly, score) for score in scores]
    parts = [placements(score, is_anomaly) for score in scores]
    assert [auroc(score, is_anomaly) for score in scores] == areas
    assert [part.area for part in parts] == pytest.approx(areas)
    assert parts[0].of_good.mean() == pytest.approx(areas[0])
    assert mean_placements(parts).area == pytest.approx(np.mean(areas))


def test_what_cannot_be_ranked_has_no_area() -> None:
    assert math.isnan(auroc(np.array([0.1, np.nan]), np.array([True, False])))
    assert math.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))


def test_the_interval_of_an_auroc_is_as_wide_as_theory_says() -> None:
    low, high = auroc_interval(0.85, 120, 120)
    assert (high - low) / 2 == pytest.approx(0.049, abs=0.002)  # Hanley and McNeil, 120 of each
    low, high = auroc_interval(1.0, 120, 120)  # no mistake in 120 pairs
    assert high == 1 and 0.95 < low < 1
    assert auroc_interval(0.3, 8, 30) == pytest.approx([1 - end for end in auroc_interval(0.7, 8, 30)[::-1]])
    assert auroc_interval(1.0, 1, 1)[0] < 0.5 and auroc_interval(0.0, 3, 4)[0] == 0


def test_two_scores_of_the_same_images_are_compared_in_pairs() -> None:
    random = np.random.default_rng(0)
    is_anomaly = np.arange(200) >= 100
    score = random.normal(size=200) + is_anomaly
    near, far = (noise + is_anomaly for noise in (score - is_anomaly + 0.1 * random.normal(size=200),
                                                  random.normal(size=200)))  # fmt: skip
    one, alike, apart = (placements(values, is_anomaly) for values in (score, near, far))
    widths = [np.diff(difference_interval(one, other))[0] for other in (alike, apart)]
    assert widths[0] < widths[1] / 3
    low, high = difference_interval(one, one)
    assert low == pytest.approx(-high) and high < 0.02
    only = placements(np.array([1.0, 0.0]), np.array([True, False]))
    assert difference_interval(only, only)[0] < 0

"""The closed form of the needle is the one that counting all subsets gives, and its ceiling the known one."""

from itertools import combinations
from math import comb, prod

import numpy as np
import pytest

from patchsets.data.synthetic import Needle, symmetric_polynomial


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_symmetric_polynomial_is_the_sum_over_subsets(degree: int) -> None:
    x = np.random.default_rng(0).uniform(0.1, 4, 7)
    expected = sum(prod(subset) for subset in combinations(x, degree))
    assert symmetric_polynomial(x, degree) == pytest.approx(expected)


def test_likelihood_ratio_is_that_of_the_densities() -> None:
    """Average the density over every place the shifted elements may have, without the short formula."""
    data = Needle(32, 0, 20, 10, 10, features=2, low=4, high=6, shifted=2, shift=1.5)
    data.setup()
    part = data.splits["test"]
    for values, found in zip(
        part.values.split(part.lengths.tolist()), data.log_likelihood_ratio("test"), strict=True
    ):
        x = values[:, 0].double().numpy()
        density, moved = np.exp(-(x**2) / 2), np.exp(-((x - 1.5) ** 2) / 2)
        places = list(combinations(range(len(x)), 2))
        total = sum(prod(moved[i] if i in place else density[i] for i in range(len(x))) for place in places)
        assert found == pytest.approx(np.log(total / comb(len(x), 2) / density.prod()))


@pytest.mark.parametrize(("shift", "measured", "error"), [(1.0, 0.678, 0.0097), (3.0, 0.990, 0.0018)])
def test_ceiling_rises_with_the_shift_as_measured(shift: float, measured: float, error: float) -> None:
    """20,000 other sets gave these; the standard error of 3,000 is Hanley and McNeil's."""
    data = Needle(32, 0, 10, 10, 3000, shift=shift)
    data.setup()
    ratio, label = data.log_likelihood_ratio("test"), data.splits["test"].label.bool().numpy()
    auroc = (ratio[label][:, None] > ratio[~label]).mean()
    assert auroc == pytest.approx(measured, abs=3.3 * error)


def test_only_the_labelled_elements_are_shifted() -> None:
    data = Needle(32, 0, 2000, 10, 10)
    data.setup()
    part = data.splits["train"]
    moved = part.element_label.bool()
    assert {int(x.sum()) for x in moved.split(part.lengths.tolist())} == {0, 3}
    assert part.lengths.min() == 15 and part.lengths.max() == 45
    assert part.values[moved, 0].mean() == pytest.approx(2, abs=0.1)  # 3,000 elements: standard error 0.02
    assert part.values[~moved].mean() == pytest.approx(0, abs=0.02)


def test_ceiling_of_the_default_data_is_the_measured_one() -> None:
    """Another 5,000 sets gave 0.9020; Hanley and McNeil's standard error of each is 0.0043."""
    data = Needle(32, 0)
    data.setup()
    ratio, label = data.log_likelihood_ratio("test"), data.splits["test"].label.bool().numpy()
    auroc = (ratio[label][:, None] > ratio[~label]).mean()
    assert auroc == pytest.approx(0.9020, abs=3 * 2**0.5 * 0.0043)

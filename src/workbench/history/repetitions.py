"""Runs that differ only in a seed or a fold: their mean, its interval, and paired tests between methods.

Folds and splits share training examples, so their results are not independent and a plain t-test finds
differences that are not there. Nadeau and Bengio (2003, "Inference for the generalization error") correct the
variance of the mean of J of them by the ratio of test to training examples: s^2 (1 / J + test / train); for
repeated cross-validation likewise Bouckaert and Frank (2004).
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.common.files import read_json
from workbench.run.trial import SPLITS

CONFIDENCE = 0.95
Repetition = tuple[tuple[str, str], ...]  # the keys that repeat a run, with their values


def split_of(repetition: Repetition) -> Repetition:
    """Return what of a repetition says which examples are trained on and tested."""
    return tuple((key, value) for key, value in repetition if key.rpartition(".")[2] in SPLITS)


class Estimate(NamedTuple):
    """A mean over repetitions, what it varies by, its 95 % interval, and the p-value of its being 0."""

    mean: float
    size: int  # how many repetitions: of folds where there are several, else of seeds
    deviation: float | None = None  # standard deviation over them; None of one
    error: float | None = None  # standard error: deviation / sqrt(size)
    low: float | None = None
    high: float | None = None
    p: float | None = None


def estimate(values: Mapping[Repetition, float], test_per_train: float) -> Estimate:
    """Return the mean of one metric; seeds are averaged within each fold or split, where there are several.

    `test_per_train` is the ratio of test to training examples, which is used for folds and splits alone.
    """
    by_split: dict[Repetition, list[float]] = defaultdict(list)
    for repetition, value in values.items():
        by_split[split_of(repetition)].append(value)
    are_splits = len(by_split) > 1
    units = [statistics.mean(each) for each in by_split.values()] if are_splits else [*values.values()]
    mean, count = statistics.mean(units), len(units)
    if count < 2:
        return Estimate(mean, count)
    deviation = statistics.stdev(units)
    spread = deviation * math.sqrt(1 / count + (test_per_train if are_splits else 0))
    reach, p = _student(mean, spread, count - 1)
    return Estimate(mean, count, deviation, deviation / math.sqrt(count), mean - reach, mean + reach, p)


def _student(mean: float, spread: float, freedom: int) -> tuple[float, float]:
    """Return the reach of the t interval, and the two-sided p-value of a mean of 0."""
    from scipy.special import stdtr, stdtrit

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * spread
    if spread == 0:
        return 0.0, float(mean == 0)
    return reach, float(2 * stdtr(freedom, -abs(mean) / spread))


def difference(
    one: Mapping[Repetition, float], other: Mapping[Repetition, float], test_per_train: float
) -> Estimate | None:
    """Return the mean of one less other over the repetitions that both have; None where there is none."""
    both = {repetition: one[repetition] - other[repetition] for repetition in one if repetition in other}
    return estimate(both, test_per_train) if both else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values for several tests at once (Holm 1979), in the order in which they were given."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def ratio_of(folders: Sequence[Path], repetitions: Sequence[Repetition]) -> float:
    """Return test examples per training example of some runs, by their data.json, else by how many folds.

    Of k folds a k-th is tested: 1 / (k - 1).
    """
    ratios = [ratio for folder in folders if (ratio := _ratio(read_json(folder / "data.json") or {}))]
    if ratios:
        return statistics.mean(ratios)
    folds = {value for each in repetitions for key, value in each if key.rpartition(".")[2] == "fold"}
    return 1 / max(1, len(folds) - 1)


def _ratio(data: Mapping[str, Any]) -> float | None:
    test, train = (_size(data.get(split)) for split in ("test", "train"))
    return test / train if test and train else None


def _size(split: Any) -> int:
    """Return how many examples data.json says that a split has; 0 where it does not say."""
    if not isinstance(split, dict):
        return 0
    told = next((value for value in split.values() if isinstance(value, int)), 0)
    counts = split.get("counts")
    return told or (sum(counts.values()) if isinstance(counts, dict) else 0)

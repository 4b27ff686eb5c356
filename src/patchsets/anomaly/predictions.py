"""predictions.csv of an anomaly run: a line per judged image, and every figure of scores from it again.

Which images of a split are worth a look: mistakes first, then the best, median and worst of the rest.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchsets.anomaly.judged import CLASSES, JudgedImages
from patchsets.anomaly.thresholds import Threshold
from workbench.common.errors import DataError
from workbench.common.files import appearing_whole

COLUMNS = (
    "split", "index", "file", "label", "kind", "decision", "score", "p_value", "threshold",
    "threshold_method", "chosen_score",
)  # fmt: skip  # then a column for each score, by its name


class Predictions(NamedTuple):
    """What predictions.csv says; images and maps are not in it."""

    test: JudgedImages
    validation: JudgedImages
    threshold: Threshold


def write_predictions(path: Path, test: JudgedImages, validation: JudgedImages, threshold: Threshold) -> None:
    """Write the test split, then the validation split the threshold comes from; numbers keep all digits."""
    with appearing_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *test.scores])
        writer.writerows(_lines("test", test, threshold))
        writer.writerows(_lines("val", validation, threshold))


def _lines(split: str, judged: JudgedImages, threshold: Threshold) -> Iterator[list[Any]]:
    decision, p_value = threshold.is_anomaly(judged.score), threshold.p_value(judged.score)
    for n in range(len(judged)):
        yield [
            split, int(judged.index[n]), judged.file[n], CLASSES[judged.label[n]], judged.kind[n],
            CLASSES[int(decision[n])], float(judged.score[n]), float(p_value[n]), threshold.value,
            threshold.method, judged.chosen, *(float(score[n]) for score in judged.scores.values()),
        ]  # fmt: skip


def read_predictions(path: Path) -> Predictions:
    """Read what write_predictions wrote; DataError where the file is missing or another kind of table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise DataError(f"{path} holds no predictions of an anomaly task: no column {COLUMNS[-1]}")
    test, validation = (_judged([row for row in rows if row["split"] == split]) for split in ("test", "val"))
    good = np.sort(validation.score[~validation.is_anomaly])
    return Predictions(
        test, validation, Threshold(float(rows[0]["threshold"]), rows[0]["threshold_method"], good)
    )


def _judged(rows: list[dict[str, str]]) -> JudgedImages:
    names = [name for name in rows[0] if name not in COLUMNS]
    return JudgedImages(
        scores={name: np.array([float(row[name]) for row in rows]) for name in names},
        chosen=rows[0]["chosen_score"],
        label=np.array([CLASSES.index(row["label"]) for row in rows]),
        kind=[row["kind"] for row in rows],
        file=[row["file"] for row in rows],
        index=np.array([int(row["index"]) for row in rows]),
    )


MISTAKES = 2  # of either kind
RIGHT = ("best", "median", "worst")


class Case(NamedTuple):
    """A row of the split, and why it is shown."""

    row: int
    why: str
    is_mistake: bool


def interesting_cases(judged: JudgedImages, threshold: Threshold) -> list[Case]:
    """Return the false alarms and missed anomalies that are furthest off, then right answers of either kind.

    The best of the right answers is the furthest from the threshold, the worst the nearest to it.
    """
    alarm, is_anomaly = threshold.is_anomaly(judged.score), judged.is_anomaly
    falling = np.argsort(-judged.score, kind="stable")
    rising = falling[::-1]
    cases = [Case(int(n), "false alarm", True) for n in falling[(alarm & ~is_anomaly)[falling]][:MISTAKES]]
    cases += [Case(int(n), "missed", True) for n in rising[(~alarm & is_anomaly)[rising]][:MISTAKES]]
    for word, best_first, right in (
        ("found", falling, alarm & is_anomaly),
        ("passed", rising, ~alarm & ~is_anomaly),
    ):
        rows = best_first[right[best_first]].tolist()
        places = dict(zip(RIGHT, (0, len(rows) // 2, len(rows) - 1), strict=True)) if len(rows) > 2 else {}
        places = places or dict(zip(RIGHT, range(len(rows)), strict=False))
        cases += [Case(rows[place], f"{word}: {name}", False) for name, place in places.items()]
    return cases

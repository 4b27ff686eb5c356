"""Which images of a split are worth a look: mistakes first, then the best, median and worst of the rest."""

from typing import NamedTuple

import numpy as np

from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.thresholds import Threshold

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

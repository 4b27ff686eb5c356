"""Finished runs of several methods, data and seeds as one table: AUROC with its spread and interval."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchsets.anomaly.auroc import auroc_interval, difference_interval, mean_placements, placements
from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.predictions import read_predictions
from workbench.history.publish import Table
from workbench.run.summary import read_summary
from workbench.train.summary_table import no_better

REPEATED = "seed"  # the key whose values are averaged over
BESIDE = {
    "untrained": "untrained_auroc",
    "trivial": "trivial_auroc",
    "recall": "recall",
    "false alarms": "false_positive_rate",
    "AU-PRO": "au_pro",
}  # columns, and the metrics of the test split they show the mean of
LEGEND = (
    "AUROC: mean ± standard deviation over seeds; 95 %: score interval of that mean, for images drawn anew;\n"
    "behind: below the best of the same data, (?) where the test images cannot tell; untrained: the network\n"
    "before training; trivial: the best of mean, standard deviation and range of the raw image; recall and\n"
    "false alarms: at the threshold that each run chose on its validation split."
)


class Run(NamedTuple):
    """A finished run: its metrics, and the test split as it judged it."""

    metrics: Mapping[str, float]
    test: JudgedImages


@dataclass
class Row:
    """The runs that differ by their seed only."""

    varied: dict[str, str]
    runs: list[Run]
    behind: tuple[float, bool] | None = (
        None  # how far the best is ahead, and whether that is more than chance
    )

    def __post_init__(self) -> None:
        self.parts = [placements(run.test.score, run.test.is_anomaly) for run in self.runs]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric of the test split; None where a run has none."""
        values = [run.metrics.get(f"test/{metric}") for run in self.runs]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    def means(self) -> dict[str, float]:
        """Return the AUROC and its controls, as the metrics of one run."""
        names = ("auroc", "untrained_auroc", "trivial_auroc")
        return {f"test/{name}": mean for name in names if (mean := self.mean(name)) is not None}

    @property
    def spread(self) -> float | None:
        """The standard deviation of the AUROC over seeds; None of a single run."""
        values = [run.metrics["test/auroc"] for run in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean AUROC, images being drawn anew."""
        first = self.parts[0]
        mean = float(np.mean([part.area for part in self.parts]))
        return auroc_interval(mean, len(first.of_anomalies), len(first.of_good))


def compare_runs(runs: Iterable[tuple[Mapping[str, str], Path]]) -> Table:
    """Read run folders, each with what it has of the keys that vary; return the table."""
    return _table(read_rows(runs))


def read_rows(runs: Iterable[tuple[Mapping[str, str], Path]]) -> list[Row]:
    """Return runs that differ by their seed as one row each, and how far it is behind the best.

    The first key is what is compared: rows that agree in all others are compared with the best of them.
    """
    by_row: dict[tuple[tuple[str, str], ...], list[Run]] = defaultdict(list)
    for varied, folder in runs:
        row = tuple((key, value) for key, value in varied.items() if key != REPEATED)
        by_row[row].append(_read(folder))
    rows = [Row(dict(varied), found) for varied, found in by_row.items()]
    by_data: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for one in rows:
        by_data[tuple(one.varied.values())[1:]].append(one)
    for same_data in by_data.values():
        _compare_with_best(same_data)
    return rows


def _read(folder: Path) -> Run:
    return Run(read_summary(folder)["metrics"], read_predictions(folder / "predictions.csv").test)


def _compare_with_best(rows: list[Row]) -> None:
    """Say how far each is behind the best; of the same images, the difference has its interval."""
    best = max(rows, key=lambda row: row.mean("auroc") or 0)
    for row in rows:
        is_clear = _same_images(best, row) and _difference(best, row)[0] > 0
        row.behind = ((best.mean("auroc") or 0) - (row.mean("auroc") or 0), is_clear)


def _difference(one: Row, other: Row) -> tuple[float, float]:
    return difference_interval(mean_placements(one.parts), mean_placements(other.parts))


def _same_images(one: Row, other: Row) -> bool:
    files = [list(run.test.file) for row in (one, other) for run in row.runs]
    return all(names == files[0] for names in files)


def _table(rows: list[Row]) -> Table:
    header = [*rows[0].varied, "AUROC", "95 %", "behind", *BESIDE, "runs"]
    remarks = [
        f"no better: {' '.join(row.varied.values())} {line}".replace("test/", "")
        for row in rows
        for line in no_better(row.means())
    ]
    best = [place for place, row in enumerate(rows) if row.behind and row.behind[0] <= 0]
    numbers = [_numbers(row) for row in rows]
    return Table(header, [_line(row) for row in rows], LEGEND, numbers, remarks, len(rows[0].varied), best)


def _numbers(row: Row) -> dict[str, float | str | None]:
    """Return a row of the CSV."""
    low, high = row.interval
    of_auroc = {"auroc": row.mean("auroc"), "auroc_std": row.spread, "auroc_low": low, "auroc_high": high}
    beside = {metric: row.mean(metric) for metric in BESIDE.values()}
    return {**row.varied, "runs": len(row.runs), **of_auroc, **beside}


def _line(row: Row) -> list[str]:
    spread = "" if row.spread is None else f" ± {row.spread:.3f}"
    low, high = row.interval
    gap, is_clear = row.behind or (0.0, True)
    return [
        *row.varied.values(),
        f"{row.mean('auroc'):.3f}{spread}",
        f"{low:.3f} to {high:.3f}",
        f"{gap:.3f}{'' if is_clear else ' (?)'}" if gap > 0 else "best",
        *("" if (mean := row.mean(metric)) is None else f"{mean:.3f}" for metric in BESIDE.values()),
        str(len(row.runs)),
    ]

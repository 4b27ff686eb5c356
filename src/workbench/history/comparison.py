"""Finished runs of any task as one table: methods x data, each the mean over its seeds, folds and splits."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workbench.common.errors import ConfigError, nearest
from workbench.history.publish import Table
from workbench.history.repetitions import (
    Estimate,
    Repetition,
    difference,
    estimate,
    holm,
    ratio_of,
    split_of,
)
from workbench.run.metrics_file import lower_is_better
from workbench.run.summary import read_summary
from workbench.run.trial import is_averaged, is_repeated
from workbench.train.summary_table import CONTROLS, no_better

BESIDE = 4  # metrics that stand beside the one that is compared; the CSV has them all


@dataclass
class Row:
    """The runs that differ by what repeats a run only."""

    varied: dict[str, str]
    runs: dict[Repetition, Mapping[str, float]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    is_best: bool = False  # of the same data
    behind: Estimate | None = None  # how far the best is ahead, by runs that both have
    p: float | None = None

    def values(self, metric: str) -> dict[Repetition, float]:
        """Return a metric of the runs that have it as a number."""
        found = {key: run[f"test/{metric}"] for key, run in self.runs.items() if f"test/{metric}" in run}
        return {key: value for key, value in found.items() if math.isfinite(value)}

    def estimate(self, metric: str) -> Estimate | None:
        """Return the mean of a metric; None where no run has it."""
        values = self.values(metric)
        return estimate(values, self.ratio) if values else None

    @cached_property
    def ratio(self) -> float:
        """Test examples per training example."""
        return ratio_of(self.folders, list(self.runs))


def compare_metrics(
    runs: Iterable[tuple[Mapping[str, str], Path]], metric: str | None = None, direction: str | None = None
) -> Table:
    """Read run folders, each with what it has of the keys that vary; return their table.

    `metric`, with or without `test/`, is what they are compared by; None: the first that is no loss. The
    first key that does not repeat a run is what is compared: rows that agree in all others stand together.
    `direction` is minimize or maximize; None: as the metric's name says. Raises ConfigError for a metric that
    no run has.
    """
    rows = _rows(runs)
    metric = _chosen([*rows], (metric or "").removeprefix("test/"))
    by_data: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_data.setdefault(tuple(row.varied.values())[1:], []).append(row)
    for same_data in by_data.values():
        _compare_with_best(
            same_data, metric, direction == "minimize" if direction else lower_is_better(metric)
        )
    return _table([row for same_data in by_data.values() for row in same_data], metric)


def check_metric(folder: Path, metric: str) -> None:
    """Raise ConfigError where a finished run has no such metric of the test split."""
    _chosen(_rows([({}, folder)]), metric.removeprefix("test/"))


def _rows(runs: Iterable[tuple[Mapping[str, str], Path]]) -> list[Row]:
    rows: dict[tuple[tuple[str, str], ...], Row] = {}
    for varied, folder in runs:
        chosen = tuple((key, value) for key, value in varied.items() if not is_repeated(key))
        row = rows.setdefault(chosen, Row(dict(chosen)))
        repetition = tuple((key, value) for key, value in varied.items() if is_repeated(key))
        row.runs[repetition] = read_summary(folder).get("metrics") or {}
        row.folders.append(folder)
    return list(rows.values())


def _names(rows: Sequence[Row]) -> list[str]:
    """Return the metrics of the test split that some run has, in the order in which runs tell them."""
    names = dict.fromkeys(name for row in rows for run in row.runs.values() for name in run)
    return [name.removeprefix("test/") for name in names if is_averaged(name)]


def _chosen(rows: Sequence[Row], metric: str) -> str:
    names = _names(rows)
    if not names:
        raise ConfigError("the runs logged no metric of the test split, so there is nothing to compare")
    if not metric:
        return next((name for name in names if not name.endswith("loss")), names[0])
    if not any(row.values(metric) for row in rows):
        close = nearest(metric, names) or f"; there is {', '.join(names)}"
        raise ConfigError(f"metric: no run has test/{metric}{close}")
    return metric


def _compare_with_best(rows: Sequence[Row], metric: str, is_lower_better: bool) -> None:
    """Say how far each is behind the best, run by run of the same seed and fold."""
    sign = -1 if is_lower_better else 1
    means = {id(row): each.mean for row in rows if (each := row.estimate(metric))}
    known = [row for row in rows if id(row) in means]
    if not known:
        return
    best = max(known, key=lambda row: sign * means[id(row)])
    best.is_best = True
    others = [row for row in known if row is not best]
    for row in others:
        one, other = (best, row) if sign == 1 else (row, best)
        row.behind = difference(one.values(metric), other.values(metric), max(best.ratio, row.ratio))
    tested = [row for row in others if row.behind and row.behind.p is not None]
    adjusted = holm([row.behind.p for row in tested if row.behind and row.behind.p is not None])
    for row, p in zip(tested, adjusted, strict=True):
        row.p = p


def _table(rows: list[Row], metric: str) -> Table:
    beside = _beside(_names(rows), metric)
    is_alone = len(rows) == len({tuple(row.varied.values())[1:] for row in rows})  # of its data
    repeats = any((each := row.estimate(metric)) and each.size > 1 for row in rows)
    spread = ["s.e.", "95 %"] if repeats else []
    against = [] if is_alone else ["behind", *(["p"] if any(row.p is not None for row in rows) else [])]
    header = [*rows[0].varied, metric, *spread, *against, *beside, "runs"]
    decimals = {name: _decimals([row.estimate(name) for row in rows]) for name in (metric, *beside)}
    lines = [_line(row, metric, header, decimals) for row in rows]
    best = [] if is_alone else [place for place, row in enumerate(rows) if row.is_best]
    numbers = [_numbers(row, metric, _names(rows)) for row in rows]
    legend = _legend(rows, metric, repeats, is_alone)
    return Table(header, lines, legend, numbers, _remarks(rows, metric), len(rows[0].varied), best)


def _beside(names: Sequence[str], metric: str) -> list[str]:
    """Return the metrics that stand beside the one that is compared: some others, and its own controls."""
    controls = tuple(f"{control}_" for control in CONTROLS)
    others = [name for name in names if name != metric and not name.startswith(controls)]
    return [*others[:BESIDE], *(f"{each}{metric}" for each in controls if f"{each}{metric}" in names)]


def _line(row: Row, metric: str, header: Sequence[str], decimals: Mapping[str, int]) -> list[str]:
    places, found = decimals[metric], row.estimate(metric)
    cells = dict(row.varied) | {"runs": str(len(row.runs))}
    cells |= {name: _spread(row.estimate(name), decimals[name]) for name in decimals}
    if found and found.error is not None:
        cells |= {"s.e.": f"{found.error:.{places}f}", "95 %": _interval(found, places)}
    if found:
        behind = "" if row.behind is None else f"{row.behind.mean:.{places}f}"
        if row.behind and row.behind.low is not None:
            behind += f" ({_interval(row.behind, places)})"
        cells |= {"behind": "best" if row.is_best else behind, "p": "" if row.p is None else _p(row.p)}
    return [cells.get(name, "") for name in header]


def _spread(found: Estimate | None, places: int) -> str:
    if found is None:
        return ""
    return f"{found.mean:.{places}f}" + (
        "" if found.deviation is None else f" ± {found.deviation:.{places}f}"
    )


def _interval(found: Estimate, places: int) -> str:
    return f"{found.low:.{places}f} to {found.high:.{places}f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _decimals(found: Sequence[Estimate | None]) -> int:
    """Return how many decimals show three digits of the largest mean, and two of the largest deviation."""
    largest = max((abs(each.mean) for each in found if each), default=0)
    of_mean = 3 - math.ceil(math.log10(largest)) if largest > 0 else 3
    deviation = max((each.deviation or 0 for each in found if each), default=0)
    of_deviation = 2 - math.ceil(math.log10(deviation)) if deviation > 0 else 0
    return max(0, of_mean, min(of_deviation, of_mean + 1))


def _numbers(row: Row, metric: str, names: Sequence[str]) -> dict[str, float | str | None]:
    """Return a row of the CSV: what was compared first, then the mean and deviation of each other metric."""
    found, behind = row.estimate(metric), row.behind
    numbers: dict[str, float | str | None] = {**row.varied, "runs": len(row.runs)}
    for name, of_field in (
        ("", "mean"),
        ("_std", "deviation"),
        ("_se", "error"),
        ("_low", "low"),
        ("_high", "high"),
    ):
        numbers[f"{metric}{name}"] = getattr(found, of_field, None)
    for name, of_field in (
        ("behind", "mean"),
        ("behind_low", "low"),
        ("behind_high", "high"),
        ("p_uncorrected", "p"),
    ):
        numbers[name] = getattr(behind, of_field, None)
    numbers["p"] = row.p
    for name in names:
        if name != metric:
            each = row.estimate(name)
            numbers |= {name: each and each.mean, f"{name}_std": each and each.deviation}
    return numbers


def _remarks(rows: Sequence[Row], metric: str) -> list[str]:
    """Name the rows that lack runs, and those that are no better than a control."""
    remarks = []
    most = max(len(row.runs) for row in rows)
    for row in rows:
        name = " ".join(row.varied.values()) or "the runs"
        if len(row.values(metric)) < most:
            remarks.append(f"incomplete: {name} has {metric} of {len(row.values(metric))} of {most} runs")
        means = {f"test/{each}": found.mean for each in _names(rows) if (found := row.estimate(each))}
        remarks += [f"no better: {name} {line}".replace("test/", "") for line in no_better(means)]
    return remarks


def _legend(rows: Sequence[Row], metric: str, repeats: bool, is_alone: bool) -> str:
    """Say what the columns mean."""
    over_splits = any(len({split_of(each) for each in row.runs}) > 1 for row in rows)
    seeds = {tuple(pair for pair in each if pair not in split_of(each)) for row in rows for each in row.runs}
    what = "folds or splits" if over_splits else "seeds"
    if over_splits and len(seeds) > 1:
        what += " (seeds are averaged in each)"
    lines = [f"{metric}: of the test split" + (f", mean ± standard deviation over {what}" if repeats else "")]
    if repeats:
        lines.append("s.e.: that deviation / sqrt(their number)")
    if repeats and over_splits:
        ratio = max(row.ratio for row in rows)
        lines.append(
            "95 %: t interval of the mean, corrected for the training examples that folds share\n"
            f"(Nadeau and Bengio 2003; test / train = {ratio:.3g})"
        )
    elif repeats:
        lines.append("95 %: t interval of the mean over seeds, for these very splits of the data")
    if not is_alone:
        lines.append(_legend_of_tests(rows, over_splits))
    return ";\n".join(lines) + "."


def _legend_of_tests(rows: Sequence[Row], over_splits: bool) -> str:
    """Say what stands in `behind` and `p`."""
    if all(row.p is None for row in rows):
        return "behind: below the best of the same data; one run of each tells no chance from a difference"
    test = "corrected resampled t-test" if over_splits else "paired t-test"
    return (
        f"behind: below the best of the same data, by pairs of the same {'fold' if over_splits else 'seed'},"
        f" with its 95 % interval;\np: two-sided {test} of that, by Holm's method where several are compared"
        " with the best"
    )

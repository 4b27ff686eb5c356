"""Trials that differ only in a seed or a fold are one result: the means of their metrics."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.common.redaction import redact
from workbench.common.table import render
from workbench.config.command import train_command
from workbench.run.trial import is_averaged, is_repeated
from workbench.search.results import SHOWN, Results
from workbench.search.study import folder_name

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Mean:
    """The mean of a metric over some runs, and its standard deviation where they are several."""

    value: float
    deviation: float | None

    def __str__(self) -> str:
        return f"{self.value:.4g}" + ("" if self.deviation is None else f" ± {self.deviation:.2g}")


@dataclass(frozen=True)
class Group:
    """The finished trials of one choice of all that is no repetition."""

    parameters: dict[str, Any]
    trials: list["FrozenTrial"]
    means: dict[str, Mean]  # of the metrics that every run has


class Repeats:
    """What a sweep reached, trials over seeds and folds taken together."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.parameters = results.space.parameters
        self.repeated = [p.name for p in self.parameters if is_repeated(p.name)]
        self.chosen = [p.name for p in self.parameters if p.name not in self.repeated]

    def groups(self) -> list[Group]:
        """Return the groups, the best first where every run has the metric that is sought."""
        found: dict[str, list[FrozenTrial]] = {}
        for trial in sorted(self.results.ranked(), key=lambda t: int(folder_name(t))):
            if self.results.state(trial) == "finished":
                found.setdefault(str([trial.params.get(name) for name in self.chosen]), []).append(trial)
        groups = [self._group(trials) for trials in found.values()]
        goal = self.results.goal
        if len(goal.metrics) > 1 or not all(goal.metrics[0] in group.means for group in groups):
            return groups
        sign = -1 if goal.directions[0] == "maximize" else 1
        return sorted(groups, key=lambda group: sign * group.means[goal.metrics[0]].value)

    def _group(self, trials: list["FrozenTrial"]) -> Group:
        metrics = [self.results.metrics(trial) for trial in trials]
        names = [name for name in metrics[0] if all(name in each for each in metrics)]
        means = {name: _mean([each[name] for each in metrics]) for name in names}
        return Group({name: trials[0].params.get(name) for name in self.chosen}, trials, means)

    def best(self, groups: Sequence[Group]) -> Group | None:
        """Return the best choice; None where nothing was chosen, or nothing can be compared."""
        goal = self.results.goal
        is_sought = groups and len(goal.metrics) == 1 and goal.metrics[0] in groups[0].means
        return groups[0] if self.chosen and is_sought else None

    def description(self, group: Group) -> dict[str, Any]:
        """Return a group in plain values, for optimization_results.yaml."""
        return {
            "trials": [folder_name(trial) for trial in group.trials],
            "parameters": group.parameters,
            "means": {name: mean.value for name, mean in group.means.items()},
            "deviations": {name: mean.deviation for name, mean in group.means.items()},
            "command": self.command(group),
        }

    def command(self, group: Group) -> str:
        """Return the command that runs a group again, all its seeds and folds."""
        words = [*self.results.fixed_words()]
        for parameter in self.parameters:
            texts = [parameter.word(t.params[parameter.name]).partition("=")[2] for t in group.trials]
            words.append(f"{parameter.key}={','.join(dict.fromkeys(texts))}")
        return redact(train_command([*words, "-m"]))

    def lines(self) -> Iterator[str]:
        """Give what is said at the end: a table of the groups, or all test metrics of the only one."""
        groups = self.groups()
        over = " and ".join(self.repeated)
        if len(groups) == 1:
            shown = [name for name in groups[0].means if _is_shown(name, self.results.goal.metrics)]
            yield f"\n  mean ± standard deviation over {over}, {len(groups[0].trials)} runs:"
            width = max(map(len, shown), default=0)
            yield from (f"    {name:<{width}}  {groups[0].means[name]}" for name in shown)
        elif groups:
            yield f"\n  mean ± standard deviation over {over}:"
            yield from (f"    {line}" for line in self._table(groups).splitlines())
        if best := self.best(groups):
            metric = self.results.goal.metrics[0]
            chosen = " ".join(f"{name}={value}" for name, value in best.parameters.items())
            yield f"\n  best: {chosen}, {metric} {best.means[metric]} over {over}"
            yield f"    {self.command(best)}"

    def _table(self, groups: Sequence[Group]) -> str:
        metrics = [name for name in groups[0].means if _is_shown(name, self.results.goal.metrics)][:SHOWN]
        rows = []
        for group in groups:
            means = {name: str(group.means.get(name, "")) for name in metrics}
            rows.append({**group.parameters, "runs": len(group.trials), **means})
        return render(rows, [*self.chosen, "runs", *metrics], "table")


def _mean(values: Sequence[float]) -> Mean:
    return Mean(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None)


def _is_shown(name: str, sought: Sequence[str]) -> bool:
    return name in sought or is_averaged(name)

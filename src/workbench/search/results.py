"""What a sweep seeks, and one trial on its way there.

What the trials of a sweep have reached: which count, which failed, which is best; kept in two files.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.common.files import appearing_whole
from workbench.common.redaction import redact
from workbench.config.command import train_command
from workbench.run.trial import RESULTS, TABLE
from workbench.search import study as studies
from workbench.search.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Goal:
    """What is sought: `metrics` at the epoch that `monitor` chose; `n_trials` is None for all of a grid."""

    monitor: str
    mode: str
    metrics: list[str]
    directions: list[str]
    n_trials: int | None


@dataclass
class Job:
    """One trial on its way: Optuna's trial, the run folder and the overrides."""

    trial: Any
    folder: Path
    words: list[str]


LONGEST = 30  # characters of a value in the table


class Results:
    """The trials of one sweep, in the study as it stands; a trial that was run again counts once."""

    def __init__(self, study: "Study", space: Space, goal: Goal, folder: Path) -> None:
        self.study, self.space, self.goal, self.folder = study, space, goal, folder

    def finished(self) -> set[str]:
        """Return the names of the trials that were trained to their end, or pruned."""
        return {studies.folder_name(trial) for trial in studies.finished(self.study)}

    def ranked(self) -> list["FrozenTrial"]:
        """Return the finished trials, the best first; one of several directions by number."""
        trials = list({studies.folder_name(t): t for t in studies.finished(self.study)}.values())
        if len(self.goal.metrics) > 1:
            return trials
        sign = -1 if self.goal.directions[0] == "maximize" else 1
        return sorted(trials, key=lambda t: (t.state.name == "PRUNED", sign * (t.value or 0.0)))

    def failed(self) -> list["FrozenTrial"]:
        """Return the trials that failed and were not run again."""
        trials = self.study.get_trials(deepcopy=False)
        settled = self.finished()
        again = studies.replaced(trials)
        failed = [t for t in trials if t.state.name == "FAIL" and t.number not in again]
        by_name = {studies.folder_name(trial): trial for trial in failed}
        return [trial for name, trial in by_name.items() if name not in settled]

    def best(self) -> list["FrozenTrial"]:
        """Return the best trial; with several directions each that no other beats in all of them."""
        if len(self.goal.metrics) > 1:
            return list(self.study.best_trials)
        return [trial for trial in self.ranked()[:1] if trial.state.name == "COMPLETE"]

    def command(self, trial: "FrozenTrial") -> str:
        """Return the command that runs a trial alone."""
        fixed = [word for word in self.space.fixed if not word.lstrip("+").startswith("sweep.")]
        return redact(train_command([*self.space.for_hydra, *fixed, *self.space.words(trial.params)]))

    def rows(self) -> list[list[str]]:
        """Return a table of the finished trials, the best first, under a row of names."""
        names = [parameter.name for parameter in self.space.parameters]
        rows = [["trial", *(name.removeprefix("hparams.") for name in names), *self.goal.metrics, ""]]
        for trial in self.ranked():
            values = [_short(trial.params.get(name)) for name in names]
            reached = [f"{value:.6g}" for value in trial.values or []]
            pruned = "pruned" if trial.state.name == "PRUNED" else ""
            rows.append([studies.folder_name(trial), *values, *reached, pruned])
        return rows

    def write_table(self) -> None:
        """Write trials.csv."""
        path = self.folder / TABLE
        with appearing_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(self.rows())

    def write_best(self) -> None:
        """Write optimization_results.yaml: the best so far, and what failed."""
        best = [self._description(trial) for trial in self.best()]
        content: dict[str, Any] = {
            "command": redact(train_command(sys.argv[1:])),
            "study": self.study.study_name,
            "metrics": dict(zip(self.goal.metrics, self.goal.directions, strict=True)),
            "finished_trials": len(self.finished()),
            "failed_trials": [studies.folder_name(trial) for trial in self.failed()],
            "best": best[0] if len(best) == 1 and len(self.goal.metrics) == 1 else best,
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        with appearing_whole(self.folder / RESULTS) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _description(self, trial: "FrozenTrial") -> dict[str, Any]:
        return {
            "trial": studies.folder_name(trial),
            "values": dict(zip(self.goal.metrics, trial.values, strict=True)),
            "parameters": dict(trial.params),
            "command": self.command(trial),
        }


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

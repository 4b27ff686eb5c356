"""What a sweep seeks, and one trial on its way there.

What the trials of a sweep have reached: which count, which failed, which is best; kept in two files.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.common.files import appearing_whole
from workbench.common.redaction import redact
from workbench.common.table import render
from workbench.config.choose import load_plain
from workbench.config.command import train_command
from workbench.run.folder import is_run_folder
from workbench.run.summary import read_summary
from workbench.run.trial import RESULTS, TABLE, is_averaged, kept_values
from workbench.search import study as studies
from workbench.search.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def keep_of(folder: Path) -> str:
    """Return which weights a trial kept, which may be what is searched: best or last."""
    plain = load_plain(folder) if is_run_folder(folder) else {}
    return str(plain.get("hparams", {}).get("keep", "best"))


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
SHOWN = 5  # metrics of a table; trials.csv has them all


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

    def fixed_words(self) -> list[str]:
        """Return the words that hold for every trial, and that its own command needs."""
        fixed = [word for word in self.space.fixed if not word.lstrip("+").startswith("sweep.")]
        return [*self.space.for_hydra, *fixed]

    def command(self, trial: "FrozenTrial") -> str:
        """Return the command that runs a trial alone."""
        return redact(train_command([*self.fixed_words(), *self.space.words(trial.params)]))

    def state(self, trial: "FrozenTrial") -> str:
        """Return finished, pruned or failed; the study calls pruned too what finished without the metric."""
        if trial.state.name == "FAIL":
            return "failed"
        if trial.state.name != "PRUNED" or self._summary(trial).get("status") == "finished":
            return "finished"
        return "pruned"

    def metrics(self, trial: "FrozenTrial") -> dict[str, float]:
        """Return what a trial reached: the metrics that are sought, and those of the test split."""
        sought = dict(zip(self.goal.metrics, trial.values or [], strict=False))
        reached = self._summary(trial).get("metrics", {})
        return sought | {name: value for name, value in reached.items() if name.startswith("test/")}

    def tested(self, trial: "FrozenTrial") -> dict[str, float]:
        """Return the metrics of the whole test split."""
        return {name: value for name, value in self.metrics(trial).items() if is_averaged(name)}

    def _summary(self, trial: "FrozenTrial") -> dict[str, Any]:
        return read_summary(self.folder / studies.folder_name(trial))

    def rows(self) -> list[list[str]]:
        """Return a table of the finished trials, the best first, under a row of names."""
        names = [parameter.name for parameter in self.space.parameters]
        trials = self.ranked()
        metrics = self.goal.metrics
        if not any(trial.values for trial in trials):  # without validation nothing that is sought
            metrics = list(dict.fromkeys(name for trial in trials for name in self.tested(trial)))[:SHOWN]
        rows = [["trial", *(name.removeprefix("hparams.") for name in names), *metrics, ""]]
        for trial in trials:
            values = [_short(trial.params.get(name)) for name in names]
            found = self.metrics(trial)
            reached = [f"{found[name]:.6g}" if name in found else "-" for name in metrics]
            pruned = "pruned" if self.state(trial) == "pruned" else ""
            rows.append([studies.folder_name(trial), *values, *reached, pruned])
        return rows

    def write_table(self) -> None:
        """Write trials.csv: of each trial its state, every metric with all digits, seconds and run folder.

        Metrics are those of the epoch whose weights were kept, and of the test.
        """
        trials = [*self.ranked(), *self.failed()]
        reached = {trial.number: self._kept(trial) | self.metrics(trial) for trial in trials}
        metrics = dict.fromkeys([*self.goal.metrics, *(name for each in reached.values() for name in each)])
        names = {
            parameter.name: parameter.name.removeprefix("hparams.") for parameter in self.space.parameters
        }
        columns = ["trial", "state", *names.values(), *metrics, "seconds", "folder"]
        rows = [
            {
                "trial": studies.folder_name(trial),
                "state": self.state(trial),
                **{short: trial.params.get(name) for name, short in names.items()},
                **reached[trial.number],
                "seconds": _seconds(self._summary(trial)),
                "folder": str(self.folder / studies.folder_name(trial)),
            }
            for trial in trials
        ]
        with appearing_whole(self.folder / TABLE) as temporary:
            temporary.write_text(render(rows, columns, "csv") + "\n", encoding="utf-8")

    def _kept(self, trial: "FrozenTrial") -> dict[str, float]:
        folder = self.folder / studies.folder_name(trial)
        return kept_values(folder, self.goal.monitor, self.goal.mode, keep_of(folder))

    def write_best(self, best: Sequence[Any] | None = None, repeats: Sequence[Any] = ()) -> None:
        """Write optimization_results.yaml: the best so far, and what failed.

        `best` stands in place of the best trials, and `repeats` are means over runs, all in plain values.
        """
        if best is None:
            best = [self._description(trial) for trial in self.best()]
        content: dict[str, Any] = {
            "command": redact(train_command(sys.argv[1:])),
            "study": self.study.study_name,
            "metrics": dict(zip(self.goal.metrics, self.goal.directions, strict=True)),
            "finished_trials": len(self.finished()),
            "failed_trials": [studies.folder_name(trial) for trial in self.failed()],
            "best": best[0] if len(best) == 1 and len(self.goal.metrics) == 1 else list(best),
        }
        if repeats:
            content["repeats"] = list(repeats)
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


def _seconds(summary: dict[str, Any]) -> float | None:
    """Return how long a run took."""
    if "seconds" in summary:
        return float(summary["seconds"])
    if "ended" in summary:
        return round(float(summary["ended"]) - float(summary["started"]), 3)
    return None


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

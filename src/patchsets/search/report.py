"""What a sweep tells: a line for each trial, and at the end a table, the best command and files."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from patchsets.closing import typed
from patchsets.search import study as studies
from patchsets.search.drawing import draw
from patchsets.search.goal import Goal, Job
from patchsets.search.space import Space
from patchsets.search.words import command
from patchsets.secrets import redact

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


RESULTS = "optimization_results.yaml"
SHOWN = 20  # trials in the table on the screen; trials.csv has them all
LONGEST = 30  # characters of a value in the table


class Report:
    """The voice of one sweep."""

    def __init__(self, study: "Study", space: Space, goal: Goal, folder: Path) -> None:
        self.study, self.space, self.goal, self.folder = study, space, goal, folder
        self._said: set[str] = set()

    def begin(self) -> None:
        """Say what is to be done, and what has been done already."""
        missing = {studies.folder_name(trial) for trial in studies.waiting(self.study)}
        done = len({studies.folder_name(trial) for trial in studies.finished(self.study)} - missing)
        wanted = self.space.size if self.goal.n_trials is None else self.goal.n_trials
        kind = (
            "every combination" if self.goal.n_trials is None else f"a search for the best {self._metrics()}"
        )
        earlier = f", {done} finished already" if done else ""
        print(f"sweep: {wanted} trials ({kind}){earlier}; {typed(self.folder)}", flush=True)

    def begins(self, job: Job) -> None:
        """Say which trial begins."""
        print(f"trial {self._name(job)}: {' '.join(self._swept(job))}", flush=True)

    def ended(self, job: Job, error: str | None) -> None:
        """Say how a trial ended, and keep the best so far on disk."""
        trial = self._find(job.trial.number)
        shown = f"failed: {error}" if error else f"{self._state(trial)}, {self._values(trial)}"
        print(f"trial {self._name(job)}: {shown}", flush=True)
        self._write_results()

    def taken_up(self, number: int) -> None:
        """Say that a trial whose process died is to be run again."""
        print(f"trial {number} was broken off; it is taken up again", flush=True)

    def say_once(self, line: str) -> None:
        """Say a line that is true for a while."""
        if line not in self._said:
            self._said.add(line)
            print(line, flush=True)

    def tell_how_to_go_on(self) -> None:
        """Say by which command the sweep goes on."""
        print(
            f"\nthe sweep stopped; the same command goes on with it:\n  {command(sys.argv[1:])}", flush=True
        )

    def write(self) -> None:
        """Write what remains of a sweep: the best, all trials as a table, and figures."""
        self._write_results()
        self._write_table()
        draw(self.study, self.ranked(), self.goal, self.space, self.folder / "figures")

    def show(self) -> None:
        """Print the table of trials, what failed with its log, and the best command."""
        print("\n" + "\n".join(self._lines()), flush=True)

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
        again = studies.replaced(trials)
        finished = {studies.folder_name(trial) for trial in studies.finished(self.study)}
        failed = [t for t in trials if t.state.name == "FAIL" and t.number not in again]
        return list(
            {studies.folder_name(t): t for t in failed if studies.folder_name(t) not in finished}.values()
        )

    def best(self) -> list["FrozenTrial"]:
        """Return the best trial; with several directions each that no other beats in all of them."""
        if len(self.goal.metrics) > 1:
            return list(self.study.best_trials)
        return [trial for trial in self.ranked()[:1] if trial.state.name == "COMPLETE"]

    def _lines(self) -> Iterator[str]:
        rows = self._rows()
        for row in _aligned(rows[: SHOWN + 1]):
            yield f"  {row}"
        if len(rows) > SHOWN + 1:
            yield f"  ... {len(rows) - SHOWN - 1} more in {typed(self.folder / 'trials.csv')}"
        for trial in self.failed():
            name = studies.folder_name(trial)
            yield f"\n  trial {name} failed: {trial.user_attrs.get(studies.ERROR, 'its process died')}"
            yield f"    log: {typed(self._log(self.folder / name))}"
        for trial in self.best():
            yield f"\n  best: trial {studies.folder_name(trial)}, {self._values(trial)}"
            yield f"    {self._command(trial)}"
        yield f"\n  results  {typed(self.folder / RESULTS)}"
        if (self.folder / "figures").is_dir():
            yield f"  figures  {typed(self.folder / 'figures')}"

    def _rows(self) -> list[list[str]]:
        names = [parameter.name for parameter in self.space.parameters]
        header = ["trial", *(name.removeprefix("hparams.") for name in names), *self.goal.metrics, ""]
        rows = [header]
        for trial in self.ranked():
            values = [_short(trial.params.get(name)) for name in names]
            reached = [f"{value:.6g}" for value in trial.values or []]
            pruned = "pruned" if trial.state.name == "PRUNED" else ""
            rows.append([studies.folder_name(trial), *values, *reached, pruned])
        return rows

    def _write_results(self) -> None:
        """Write optimization_results.yaml, so that a reader sees the old file or the new one."""
        best = [self._description(trial) for trial in self.best()]
        finished = {studies.folder_name(trial) for trial in studies.finished(self.study)}
        content: dict[str, Any] = {
            "command": redact(command(sys.argv[1:])),
            "study": self.study.study_name,
            "metrics": dict(zip(self.goal.metrics, self.goal.directions, strict=True)),
            "finished_trials": len(finished),
            "failed_trials": [studies.folder_name(trial) for trial in self.failed()],
            "best": best[0] if len(best) == 1 and len(self.goal.metrics) == 1 else best,
        }
        temporary = self.folder / f".{RESULTS}.new"
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        temporary.replace(self.folder / RESULTS)

    def _description(self, trial: "FrozenTrial") -> dict[str, Any]:
        return {
            "trial": studies.folder_name(trial),
            "values": dict(zip(self.goal.metrics, trial.values, strict=True)),
            "parameters": dict(trial.params),
            "command": self._command(trial),
        }

    def _write_table(self) -> None:
        temporary = self.folder / ".trials.csv.new"
        with temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(self._rows())
        temporary.replace(self.folder / "trials.csv")

    def _command(self, trial: "FrozenTrial") -> str:
        fixed = [word for word in self.space.fixed if not word.lstrip("+").startswith("sweep.")]
        return redact(command([*fixed, *self.space.words(trial.params)]))

    def _swept(self, job: Job) -> list[str]:
        return job.words[len(self.space.fixed) :]

    def _name(self, job: Job) -> str:
        return job.folder.name

    def _find(self, number: int) -> "FrozenTrial":
        return self.study.get_trials(deepcopy=False)[number]

    def _state(self, trial: "FrozenTrial") -> str:
        return "pruned" if trial.state.name == "PRUNED" else "finished"

    def _metrics(self) -> str:
        return " and ".join(self.goal.metrics)

    def _values(self, trial: "FrozenTrial") -> str:
        pairs = zip(self.goal.metrics, trial.values or [], strict=False)
        return ", ".join(f"{name} {value:.6g}" for name, value in pairs)

    def _log(self, folder: Path) -> Path:
        known = [folder / name for name in ("train.log", "console.txt")]
        return next((path for path in known if path.is_file()), folder)


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]

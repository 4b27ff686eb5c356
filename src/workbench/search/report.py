"""What a sweep tells a person: a line for each trial; at the end a table, what failed, the best command."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from workbench.common.redaction import redact
from workbench.common.table import aligned
from workbench.common.workspace import typed
from workbench.config.command import train_command
from workbench.run.trial import RESULTS, TABLE
from workbench.search import study as studies
from workbench.search.figures import draw
from workbench.search.repeats import Repeats
from workbench.search.results import Goal, Job, Results
from workbench.search.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SHOWN = 20  # trials in the table on the screen; trials.csv has them all


class Report:
    """The voice of one sweep."""

    def __init__(self, study: "Study", space: Space, goal: Goal, folder: Path) -> None:
        self.study, self.space, self.goal, self.folder = study, space, goal, folder
        self.results = Results(study, space, goal, folder)
        self.repeats = Repeats(self.results)
        self._said: set[str] = set()

    def begin(self) -> None:
        """Say what is to be done, and what has been done already."""
        done = len(self.results.finished() - {studies.folder_name(t) for t in studies.waiting(self.study)})
        wanted, kind = self.goal.n_trials, f"a search for the best {' and '.join(self.goal.metrics)}"
        if wanted is None:
            wanted, kind = self.space.size, "every combination"
        earlier = f", {done} finished already" if done else ""
        print(f"sweep: {wanted} trials ({kind}){earlier}; {typed(self.folder)}", flush=True)

    def begins(self, job: Job) -> None:
        """Say which trial begins."""
        print(f"trial {job.folder.name}: {redact(' '.join(job.words[len(self.space.fixed) :]))}", flush=True)

    def ended(self, job: Job, error: str | None, lack: str | None) -> None:
        """Say how a trial ended, and what it lacks of the metrics; keep the best so far on disk."""
        trial = self.study.get_trials(deepcopy=False)[job.trial.number]
        if lack and self.repeats.repeated and not self.repeats.chosen:  # nothing is sought among folds
            lack = ", ".join(f"{name} {value:.6g}" for name, value in self.results.tested(trial).items())
        shown = f"failed: {error}" if error else f"{self.results.state(trial)}, {lack or self._values(trial)}"
        print(f"trial {job.folder.name}: {shown}", flush=True)
        with self._alone():
            self._write_best()

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
        command = redact(train_command(sys.argv[1:]))
        print(f"\nthe sweep stopped; the same command goes on with it:\n  {command}", flush=True)

    def write(self) -> None:
        """Write what remains of a sweep: the best, all trials as a table, and figures."""
        with self._alone():
            self._write_best()
            self.results.write_table()
            if self.repeats.chosen or not self.repeats.repeated:
                draw(self.study, self.results.ranked(), self.goal, self.space, self.folder / "figures")

    def _write_best(self) -> None:
        if not self.repeats.repeated:
            return self.results.write_best()
        groups = self.repeats.groups()
        best = self.repeats.best(groups)
        describe = self.repeats.description
        return self.results.write_best([describe(best)] if best else [], [describe(one) for one in groups])

    def write_table(self) -> None:
        """Write trials.csv with what there is so far."""
        with self._alone():
            self.results.write_table()

    def show(self) -> None:
        """Print the table of trials, what failed with its log, and the best command."""
        print("\n" + "\n".join(self._lines()), flush=True)

    def _alone(self) -> FileLock:
        """Let the workers of a sweep, who share its folder, write one after the other."""
        return FileLock(self.folder / ".results.lock")

    def _lines(self) -> Iterator[str]:
        yield from self._table()
        for trial in self.results.failed():
            name = studies.folder_name(trial)
            yield f"\n  trial {name} failed: {trial.user_attrs.get(studies.ERROR, 'its process died')}"
            yield f"    log: {typed(_log(self.folder / name))}"
        if self.repeats.repeated:
            yield from self.repeats.lines()
        for trial in [] if self.repeats.repeated else self.results.best():
            yield f"\n  best: trial {studies.folder_name(trial)}, {self._values(trial)}"
            yield f"    {self.results.command(trial)}"
        yield f"\n  results  {typed(self.folder / RESULTS)}"
        if (self.folder / "figures").is_dir():
            yield f"  figures  {typed(self.folder / 'figures')}"

    def _table(self) -> Iterator[str]:
        rows = self.results.rows()
        yield from (f"  {row}" for row in aligned(rows[: SHOWN + 1], [True] * len(rows[0])))
        if len(rows) > SHOWN + 1:
            yield f"  ... {len(rows) - SHOWN - 1} more in {typed(self.folder / TABLE)}"

    def _values(self, trial: "FrozenTrial") -> str:
        pairs = zip(self.goal.metrics, trial.values or [], strict=False)
        return ", ".join(f"{name} {value:.6g}" for name, value in pairs)


def _log(folder: Path) -> Path:
    known = [folder / name for name in ("train.log", "console.txt")]
    return next((path for path in known if path.is_file()), folder)

"""The sweep itself: ask for a trial, run it, tell how it ended, until the goal is reached."""

import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from workbench.common.errors import Interrupted
from workbench.common.private_parts import id_in_storage
from workbench.common.stopping import StopSignals
from workbench.run.summary import WHOLE, status
from workbench.run.trial import TrialNote, best_values
from workbench.search import study as studies
from workbench.search.mlflow_parent import Parent
from workbench.search.processes import Launching, why_it_failed
from workbench.search.report import Report
from workbench.search.results import Goal, Job, keep_of
from workbench.search.samplers import make_sampler
from workbench.search.space import Choices, Space
from workbench.search.study import is_file
from workbench.search.worker import KEY, Worker

FAILURES_IN_A_ROW = 10  # after which a search gives up: it is not the parameters that are wrong
LOOK_EVERY = 1.0  # seconds, at trials that others run


class Sweep:
    """One command's trials, in one worker; any number of workers may share the study."""

    def __init__(
        self,
        config: DictConfig,
        launcher: Any,
        space: Space,
        goal: Goal,
        address: str,
        make_parent: Callable[[], Parent],
    ) -> None:
        self.config, self.space, self.goal = config, space, goal
        self.address, self.folder = address, Path(config.hydra.sweep.dir)
        self.launching = Launching(launcher, config.hydra.launcher, self.folder)
        name = f"{self.folder.parent.name}/{self.folder.name}"
        self.study = studies.open_study(name, address, config.sweep, goal.directions)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.report = Report(self.study, space, goal, self.folder)
        self.parent = make_parent()
        self.failures = 0
        self.mine: dict[int, Job] = {}

    def run(self) -> list[Any]:
        """Run what is missing; exit with 1 where the goal is missed."""
        with Worker(self.study, self.folder, not is_file(self.address)) as self.worker, StopSignals():
            try:
                self._enqueue_grid()
                self.report.begin()
                self.parent.start()
                while self._goes_on():
                    self._run_some()
            except (Interrupted, KeyboardInterrupt, SystemExit) as stop:
                self._break_off()
                self.report.write_table()
                self.parent.close("interrupted")
                self.report.tell_how_to_go_on()
                raise SystemExit(
                    getattr(stop, "exit_code", None) or getattr(stop, "code", None) or 130
                ) from None
        self.report.write()
        self.parent.close("finished")
        self.report.show()
        if not self._is_reached():
            raise SystemExit(1)
        return []

    def _enqueue_grid(self) -> None:
        """Let every combination be run that has not been: each in the folder of its number."""
        if self.goal.n_trials is not None:
            return
        on_the_way = [*studies.running(self.study), *studies.waiting(self.study)]
        present = {studies.folder_name(trial) for trial in on_the_way}
        done = [studies.folder_name(trial) for trial in studies.finished(self.study)]
        present |= {name for name in done if not is_file(self.address) or (self.folder / name).is_dir()}
        names = [parameter.name for parameter in self.space.parameters]
        lists = [parameter.labels for parameter in self.space.parameters if isinstance(parameter, Choices)]
        for number, labels in enumerate(product(*lists)):
            if str(number) not in present:
                attributes = {studies.FOLDER: str(number)}
                self.study.enqueue_trial(dict(zip(names, labels, strict=True)), user_attrs=attributes)

    def _goes_on(self) -> bool:
        """Wait for trials that others run; False once there is nothing left to do here."""
        if self._gives_up():
            return False
        self._take_up_the_dead()
        while not self._has_next() and studies.running(self.study):
            self.report.say_once("waiting for trials that other processes run; Ctrl-C leaves them to it")
            time.sleep(LOOK_EVERY)
            self._take_up_the_dead()
        return self._has_next()

    def _gives_up(self) -> bool:
        """Tell whether a search only fails; a grid is run whole."""
        return self.failures >= FAILURES_IN_A_ROW and self.goal.n_trials is not None

    def _has_next(self) -> bool:
        if studies.waiting(self.study):
            return True
        if self.goal.n_trials is None:
            return False
        on_the_way = len(studies.finished(self.study)) + len(studies.running(self.study))
        return on_the_way < self.goal.n_trials

    def _is_reached(self) -> bool:
        wanted = self.space.size if self.goal.n_trials is None else self.goal.n_trials
        return len({studies.folder_name(trial) for trial in studies.finished(self.study)}) >= wanted

    def _run_some(self) -> None:
        for job, result in self.launching.run(self._jobs()):
            self._ended(job, result)

    def _jobs(self) -> Iterator[Job]:
        while self._has_next() and not self._gives_up():
            yield self._ask()

    def _ask(self) -> Job:
        """Ask the study for a trial and prepare its folder."""
        trial = self.study.ask()
        trial.set_user_attr(KEY, self.worker.name)
        self.study.sampler = make_sampler(self.config.sweep, self.config.seed, trial.number)
        values = {parameter.name: parameter.suggest(trial) for parameter in self.space.parameters}
        job = Job(
            trial, self.folder / studies.folder_name(trial), [*self.space.fixed, *self.space.words(values)]
        )
        self.mine[trial.number] = job
        sweep = self.config.sweep
        pruner = {"pruner": sweep.pruner, "pruner_options": dict(sweep.pruner_options)}
        TrialNote(
            self.study.study_name,
            self.address,
            trial.number,
            id_in_storage(trial),
            self.goal.metrics[0],
            pruner if sweep.pruner != "none" else None,
            self.parent.tags_of_children(),
        ).write(job.folder)
        self.report.begins(job)
        return job

    def _ended(self, job: Job, result: JobReturn | None) -> None:
        """Tell the study how a trial ended, by what its run folder says."""
        del self.mine[job.trial.number]
        error = why_it_failed(job.folder, result)
        lack = None if error else self._tell(job.trial.number, job.folder, status(job.folder))
        self.failures = self.failures + 1 if error or lack else 0
        if error:
            job.trial.set_user_attr(studies.ERROR, error)
            studies.fail(self.study, job.trial.number)
        self.report.ended(job, error, lack)

    def _tell(self, number: int, folder: Path, ended_as: str) -> str | None:
        """Record a trial that ended as it should; return what it lacks of the metrics, if anything."""
        try:
            values = best_values(
                folder, self.goal.monitor, self.goal.mode, self.goal.metrics, keep_of(folder)
            )
        except LookupError as error:
            studies.tell(self.study, number, None)
            return str(error.args[0])
        if any(value != value for value in values):
            studies.tell(self.study, number, None)
            return f"{', '.join(self.goal.metrics)}: not a number"
        studies.tell(self.study, number, values if ended_as == "finished" else None)
        self.parent.record(number, dict(zip(self.goal.metrics, values, strict=True)))
        return None

    def _take_up_the_dead(self) -> None:
        """Look at trials whose worker has died: record what they reached, or let them be run again."""
        for trial in studies.running(self.study):
            if trial.number in self.mine or not self.worker.is_gone(trial):
                continue
            folder = self.folder / studies.folder_name(trial)
            ended_as = status(folder)
            if ended_as == "running":  # its own process lives on
                continue
            if ended_as in WHOLE:
                self._tell(trial.number, folder, ended_as)
                continue
            if studies.fail(self.study, trial.number):
                studies.enqueue_again(self.study, trial)
                self.report.taken_up(trial.number)

    def _break_off(self) -> None:
        """Leave trials that were interrupted to the next start of the same command."""
        for job in self.mine.values():
            ended_as = status(job.folder)
            if ended_as in WHOLE:
                self._tell(job.trial.number, job.folder, ended_as)
                continue
            if studies.fail(self.study, job.trial.number):
                studies.enqueue_again(self.study, job.trial)

"""How trials reach Hydra's launcher: as a stream where it takes one, else in batches."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from workbench.config.command_line import quoted
from workbench.search.goal import Job


class Launching:
    """Runs trials by one launcher; `options` are its node of the config."""

    def __init__(self, launcher: Any, options: DictConfig, folder: Path) -> None:
        self._launcher, self._options, self._folder = launcher, options, folder

    def run(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, JobReturn | None]]:
        """Give each trial as it ends: all there are of a launcher that takes a stream, else one batch."""
        if hasattr(self._launcher, "launch_each"):
            yield from self._stream(jobs)
        else:
            batch = list(islice(jobs, self._at_once()))
            yield from zip(batch, self._launch(batch), strict=True)

    def _stream(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, JobReturn | None]]:
        begun: dict[int, Job] = {}

        def numbered() -> Iterator[tuple[int, list[str], Path]]:
            for job in jobs:
                begun[job.trial.number] = job
                yield job.trial.number, job.words, job.folder

        for number, result in self._launcher.launch_each(numbered()):
            yield begun[number], result

    def _launch(self, batch: list[Job]) -> list[JobReturn]:
        """Run a batch; where the launcher itself breaks, each job is judged by what its folder says."""
        words = [[*job.words, *self._place(job)] for job in batch]
        try:
            return list(self._launcher.launch(words, initial_job_idx=batch[0].trial.number))
        except Exception as error:
            return [JobReturn(status=JobStatus.FAILED, _return_value=error) for _ in batch]

    def _place(self, job: Job) -> list[str]:
        return [f"hydra.sweep.dir={quoted(self._folder.absolute())}", f"hydra.sweep.subdir={job.folder.name}"]

    def _at_once(self) -> int:
        """Return how many trials the launcher runs at a time; a negative number means every core."""
        count = int(self._options.get("n_jobs") or self._options.get("array_parallelism") or 1)
        return count if count > 0 else os.cpu_count() or 1

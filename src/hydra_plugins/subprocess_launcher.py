"""hydra/launcher=subprocess: each job is a `python src/train.py` of its own, several at once."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher


class SubprocessLauncher(Launcher):
    """Keeps `n_jobs` processes going; what kills one of them leaves the others alone.

    Imports what it needs once it launches: Hydra loads this module at every start, and at a TAB.
    """

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep the configuration, which holds the words meant for Hydra."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Run the jobs of another sweeper, each in `<sweep folder>/<number>`."""
        folder = Path(self.config.hydra.sweep.dir)
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        jobs = [(n, [*words], folder / str(n)) for n, words in zip(numbers, job_overrides, strict=True)]
        results = dict(self.launch_each(jobs))
        return [results[number] for number in numbers]

    def launch_each(self, jobs: Iterable[tuple[int, list[str], Path]]) -> Iterator[tuple[int, Any]]:
        """Run jobs, given by number, overrides and folder; take the next one when a process has ended."""
        from workbench.config.command import words_for_hydra
        from workbench.search.processes import run_each

        yield from run_each(jobs, self.n_jobs, words_for_hydra(self.config.hydra))

"""What a search costs beside its trainings.

python benchmarks/search.py     some three minutes; one thread; leave the machine alone meanwhile

1. CPU time a trial takes beside its training, with trainings that take no time: by the sweeper itself (asked,
   told, and the results written; goal: under 0.1 s), and by Hydra's launcher, which composes the config.
2. The same small trainings as a sweep, as a comparison (src/compare.py), and as runs called in a loop in one
   process (goal of either: at most 1.2 times). A run by a command of its own is there to be seen beside them.
"""

import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers_of_tests  # noqa: F401
import torch
from in_process import start
from pretend import Trials, sweep
from timing import print_table
from whole_command import QUICK, ROOT

import compare
from workbench.search import report
from workbench.search.processes import Launching
from workbench.train.experiment import run

TRIALS = 20
TRAININGS = 4
REPEATS = 3
RATES = [f"{rate / 1000:g}" for rate in range(1, TRAININGS + 1)]
SMALL = [*QUICK, "loggers=[]"]


def main() -> None:
    """Measure both and print two tables."""
    torch.set_num_threads(1)
    report.draw = lambda *_: None  # the figures are drawn once, not for each trial
    with tempfile.TemporaryDirectory() as place:
        _sweeper_alone(Path(place))
        _beside_a_loop(Path(place))


def _sweeper_alone(place: Path) -> None:
    """Compare a long sweep with a short one, so that the start of a sweep is left out."""

    launching = 0.0
    launch = Launching._launch

    def measured(*arguments: Any, **options: Any) -> Any:
        nonlocal launching
        begun = time.process_time()
        result = launch(*arguments, **options)
        launching += time.process_time() - begun
        return result

    def trials(name: str, count: int) -> tuple[float, float]:
        nonlocal launching
        launching = 0.0
        words = ["hparams.learning_rate=interval(1e-4,1e-2)", f"sweep.n_trials={count}"]
        whole = _cpu(lambda: sweep(place / name, Trials(), *words))
        return whole - launching, launching

    Launching._launch = measured
    trials("warm", 1)
    one, many = trials("one", 1), trials("many", TRIALS + 1)
    Launching._launch = launch
    rows = [
        [name, f"{(more - less) / TRIALS:.3f}"]
        for name, more, less in zip(("the sweeper itself", "Hydra's launcher"), many, one, strict=True)
    ]
    print_table("Beside a training (goal for the sweeper: under 0.1 s)", ["", "CPU s each"], rows)


def _beside_a_loop(place: Path) -> None:
    words = [*SMALL, f"outputs={place}/outputs"]

    def loop() -> None:
        for rate in RATES:
            start(*words, f"hparams.learning_rate={rate}")

    def compared() -> None:
        outputs = place / f"compared{len(list(place.iterdir()))}" / "outputs"
        assert (
            compare.compare([*SMALL, f"outputs={outputs}", f"hparams.learning_rate={','.join(RATES)}"]) == 0
        )

    def searched() -> None:
        folder = place / f"sweep{len(list(place.iterdir()))}"
        assert sweep(folder, run, *words, f"hparams.learning_rate={','.join(RATES)}") == 0

    start(*words)  # warms up
    ways = {"loop over runs": loop, "sweep": searched, "comparison": compared}
    seconds = [[_cpu(way) for way in ways.values()] for _ in range(REPEATS)]
    medians = [statistics.median(column) / TRAININGS for column in zip(*seconds, strict=True)]
    medians.append(_command([*words, f"hparams.learning_rate={RATES[0]}"]))
    rows = [
        [name, f"{each:.2f}", f"{each / medians[0]:.2f}"]
        for name, each in zip((*ways, "a command each"), medians, strict=True)
    ]
    title = "A sweep and a comparison beside the same runs in a loop (goal: at most 1.2)"
    print_table(title, ["", "CPU s each", "ratio"], rows)


def _command(words: list[str]) -> float:
    """Return the CPU time of one run of src/train.py."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    train = [sys.executable, str(ROOT / "src/train.py"), *words]
    subprocess.run(train, check=True, capture_output=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        work()
    return time.process_time() - begun


if __name__ == "__main__":
    os.environ.pop("OPTUNA_STORAGE", None)
    main()

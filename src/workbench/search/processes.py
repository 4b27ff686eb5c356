"""Trials as processes of their own: started in free slots, waited for, ended when the sweep ends.

How trials reach Hydra's launcher: as a stream where it takes one, else in batches.
"""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, ListConfig

from workbench.common.private_parts import raised_by
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT, quoted
from workbench.run.summary import WHOLE, read_summary, status
from workbench.search.results import Job

TRAIN = ROOT / "src/train.py"
CONSOLE = "console.txt"  # what a trial prints, in its run folder
LOOK_EVERY = 0.05  # seconds
TIME_TO_CLOSE = 60.0  # seconds a trial has to end its run after a signal


def run_each(
    jobs: Iterable[tuple[int, list[str], Path]], slots: int, hydra_words: Sequence[str] = ()
) -> Iterator[tuple[int, JobReturn]]:
    """Give each job's number and result as it ends; where the caller stops, its processes are stopped too."""
    waiting, running = iter(jobs), dict[int, tuple[int, subprocess.Popen[bytes]]]()
    try:
        while True:
            for slot in sorted(set(range(max(1, slots))) - running.keys()):
                if (job := next(waiting, None)) is None:
                    break
                running[slot] = job[0], _start([*job[1], *hydra_words], job[2], _environment(slot, slots))
            if not running:
                return
            time.sleep(LOOK_EVERY)
            for slot, (number, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    yield number, _result(process.returncode)
    finally:
        _stop([process for _, process in running.values()])


def _start(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(TRAIN),
        *words,
        f"hydra.run.dir={quoted(folder.absolute())}",
    ]
    with (folder / CONSOLE).open("ab") as console:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # its ranks and data workers are ended with it
        )


def _environment(slot: int, slots: int) -> dict[str, str]:
    """Give a slot its share of the GPUs: with fewer GPUs than slots, some share one."""
    gpus = visible_gpus()
    if not gpus:
        return dict(os.environ)
    each = max(1, len(gpus) // slots)
    first = slot * each % len(gpus)
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(gpus[first : first + each])}


def visible_gpus() -> list[str]:
    """Return the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [word.strip() for word in chosen.split(",") if word.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def _result(code: int) -> JobReturn:
    if code == 0:
        return JobReturn(status=JobStatus.COMPLETED)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(f"its process {how}"))


def devices_of(trainer: DictConfig) -> int:
    """Return on how many devices a run is trained."""
    devices = trainer.get("devices", "auto")
    if isinstance(devices, ListConfig):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = 1 if trainer.get("accelerator", "auto") == "cpu" else max(1, _gpus())
    elif "," in str(devices):
        count = len([word for word in str(devices).split(",") if word])
    else:
        count = int(devices)
    return count * int(trainer.get("num_nodes", 1))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def why_it_failed(folder: Path, result: JobReturn | None) -> str | None:
    """Say in one line why a run failed, by its summary, else by what its launcher saw; None if it did not."""
    summary, ended_as = read_summary(folder), status(folder)
    if ended_as in WHOLE:
        return None
    if ended_as == "failed" and "error" in summary:
        return str(summary["error"])
    raised = raised_by(result) if result and result.status is JobStatus.FAILED else None
    if raised is None:
        return f"the process died ({ended_as})"
    return (redact(str(raised)).splitlines() or [type(raised).__name__])[0]


@contextmanager
def memory_freed() -> Iterator[None]:
    """Free what a run within it leaves in reference cycles, its data among them, before the next one begins.

    What there was before is left out of the search, which would else take longer than a small training.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


def _stop(processes: "list[subprocess.Popen[bytes]]") -> None:
    """Let each run be closed as by Ctrl-C; kill what does not end."""
    for process in processes:
        _signal(process, signal.SIGINT)
    deadline = time.monotonic() + TIME_TO_CLOSE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


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
            with memory_freed():
                return list(self._launcher.launch(words, initial_job_idx=batch[0].trial.number))
        except Exception as error:
            return [JobReturn(status=JobStatus.FAILED, _return_value=error) for _ in batch]

    def _place(self, job: Job) -> list[str]:
        return [f"hydra.sweep.dir={quoted(self._folder.absolute())}", f"hydra.sweep.subdir={job.folder.name}"]

    def _at_once(self) -> int:
        """Return how many trials the launcher runs at a time; a negative number means every core."""
        count = int(self._options.get("n_jobs") or self._options.get("array_parallelism") or 1)
        return count if count > 0 else os.cpu_count() or 1

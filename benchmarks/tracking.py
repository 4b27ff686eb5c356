"""What a logger costs: steps per second with each, beside none, every value of every step logged.

python benchmarks/tracking.py     five minutes; prints each training as it ends

Wall time, one thread, the smallest network, interleaved runs.

1. Steps per second with each logger (goal: at least 0.9 of the same training with `loggers=[]`).
2. The longest single step while an MLflow server is down, and while it takes 5 s for each answer.
"""

import http.server
import logging
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from timing import print_table
from tiny import Tiny, TinySets

from workbench.common.files import read_json
from workbench.common.workspace import ROOT
from workbench.config import composition
from workbench.run.folder import make_folder, name_folder
from workbench.run.summary import Recording
from workbench.tracking.trackers import build_trackers, describe
from workbench.tracking.uploader_process import MirrorProcess
from workbench.train.callbacks import TrainingBar
from workbench.train.trainer import build_trainer

ROUNDS = 7
CHOICES = ["[]", "csv", "tensorboard", "neptune", "mlflow", "[tensorboard,csv,mlflow,neptune]"]
SLOW_SECONDS = 5.0
START_SECONDS = 20.0
OUTAGE_SECONDS = 8.0  # enough for a tracker to load its library and to be refused
WORDS = [
    "hparams.max_epochs=1",
    "hparams.optimizer=SGD",
    "hparams.schedule=null",
    "hparams.gradient_clip=null",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
]


class Stopwatch(lightning.Callback):
    """Wall time of the training, and of its longest step."""

    def __init__(self) -> None:
        self.longest = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.begun = self._last = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def on_train_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self.begun


def main() -> None:
    """Measure and print two tables."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    composition.register()
    data = TinySets()
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{outputs}/mlflow.db"
        _compare_loggers(data, outputs)
        _outages(data, outputs)


def _compare_loggers(data: TinySets, outputs: Path) -> None:
    rates: dict[str, list[float]] = {choice: [] for choice in CHOICES}
    _train(data, CHOICES[-1], outputs, START_SECONDS)  # warms up
    for number in range(ROUNDS):
        for choice in CHOICES[:: 1 if number % 2 else -1]:  # a shared machine slows down and recovers
            rates[choice].append(data.steps / _train(data, choice, outputs, START_SECONDS).seconds)
    rows = [
        [name, f"{statistics.median(values):.0f}", f"{_ratio(values, rates['[]']):.3f}"]
        for name, values in rates.items()
    ]
    print_table("Steps per second (goal: ratio at least 0.9)", ["loggers=", "steps/s", "ratio"], rows)


def _ratio(rates: list[float], without: list[float]) -> float:
    """Compare within each round: a shared machine is slower in one than in another."""
    return statistics.median(rate / base for rate, base in zip(rates, without, strict=True))


def _outages(data: TinySets, outputs: Path) -> None:
    rows = [["no logger", _longest(data, "[]", outputs)]]
    for name, server in {"server down": _nobody, "server answers after 5 s": _slow_server}.items():
        with server() as address:
            os.environ["MLFLOW_TRACKING_URI"] = address
            rows.append([name, _longest(data, "mlflow", outputs)])
    print_table("The longest single step", ["loggers=mlflow", "ms"], rows)


def _longest(data: TinySets, choice: str, outputs: Path) -> str:
    return f"{_train(data, choice, outputs, OUTAGE_SECONDS).longest * 1e3:.0f}"


@contextmanager
def _nobody() -> Iterator[str]:
    with socket.socket() as bound:  # and not listening: every call is refused
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def _slow_server() -> Iterator[str]:
    class Slow(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            time.sleep(SLOW_SECONDS)
            self.send_error(503)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def _train(data: TinySets, choice: str, outputs: Path, patience: float) -> Stopwatch:
    """Train as a run does, every value of every step logged; what is sent after it does not count."""
    config = _config(*WORDS, f"loggers={choice}")
    folder = name_folder(outputs, "benchmark")
    make_folder(folder)
    recording = Recording(folder)
    recording.begin()
    trackers = build_trackers(config)
    mirror = MirrorProcess(folder, trackers, describe(config, folder, recording.started))
    trainer = build_trainer(config, Tiny(data), folder)
    watch = Stopwatch()
    trainer.callbacks = [*(each for each in trainer.callbacks if not isinstance(each, TrainingBar)), watch]
    mirror.start()
    _await_trackers(folder, len(trackers), patience)
    trainer.fit(Tiny(data))
    mirror.close("finished", wait=1.0)
    recording.release()
    print(f"loggers={choice}: {data.steps / watch.seconds:.0f} steps/s", file=sys.stderr, flush=True)
    return watch


def _await_trackers(folder: Path, number: int, patience: float) -> None:
    """Let them import and connect first: a cost of starting, not of a step. One that is down does not."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and _connected(folder) < number:
        time.sleep(0.05)


def _connected(folder: Path) -> int:
    return len((read_json(folder / "trackers.json") or {}).get("trackers", {}))


def _config(*words: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("config", overrides=list(words))


if __name__ == "__main__":
    main()

"""Trials that really train, one after the other in one process: nothing of one is left for the next."""

import json
import logging
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from in_process import start
from matplotlib import _pylab_helpers
from omegaconf import DictConfig
from pretend import sweep
from whole_command import QUICK, the_run

from workbench.train.experiment import run

SMALL = [*QUICK, "hparams.max_epochs=2", "loggers=[]"]


def weights(folder: Path) -> dict[str, np.ndarray]:
    from workbench.run.checkpoints import load_weights

    return {name: value.numpy() for name, value in load_weights(folder).items()}


def test_the_second_trial_equals_the_same_run_alone(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        return (
            signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
            [
                type(handler)
                for handler in logging.getLogger().handlers
                if "pytest" not in type(handler).__module__
            ],
            {thread.name for thread in threading.enumerate()},
            len(_pylab_helpers.Gcf.figs),
        )

    states = []

    def train(config: DictConfig) -> dict[str, float]:
        metrics = run(config)
        states.append((*state(), len(warnings.filters)))
        return metrics

    assert sweep(tmp_path / "sweep", train, *SMALL, "hparams.learning_rate=1e-2,1e-3") == 0
    assert states[0] == states[1]
    start(*SMALL, "hparams.learning_rate=1e-3", f"outputs={tmp_path}/alone")
    alone = the_run(tmp_path / "alone")
    second, first = (json.loads((f / "summary.json").read_text()) for f in (tmp_path / "sweep" / "1", alone))
    assert second["metrics"] == first["metrics"]
    ours, theirs = weights(tmp_path / "sweep" / "1"), weights(alone)
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_trial_that_falls_behind_is_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "sweep.pruner=threshold",
        "sweep.pruner_options={upper: 0.1, n_warmup_steps: 1}",
        "sweep.n_trials=1",
    ]
    folder = tmp_path / "sweep"
    assert (
        sweep(
            folder, run, *SMALL, "hparams.max_epochs=5", "hparams.learning_rate=interval(1e-4,1e-3)", *words
        )
        == 0
    )
    assert json.loads((folder / "0" / "summary.json").read_text())["status"] == "pruned"
    epochs = {line.split(",")[2] for line in (folder / "0" / "metrics.csv").read_text().splitlines()[1:]}
    assert epochs == {"0", "1"}
    assert "pruned" in capsys.readouterr().out

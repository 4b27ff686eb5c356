"""kill -9 at random moments of every task's training: it goes on and ends in the same bits."""

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from in_process import read_by, start, words_for
from kill import draw, kill_after
from undisturbed import FIRST_SEED, Reference, goes_on_to_the_same_end
from whole_command import ROOT

import patchsets
import workbench.train.training  # noqa: F401  # loads Lightning once

KILLS = int(os.environ.get("FAULTS_KILLS", "50"))  # spread over all tasks
TASKS = sorted(path.stem for path in (ROOT / "config/task").glob("*.yaml"))
ROUNDS = [(TASKS[number % len(TASKS)], FIRST_SEED + number // len(TASKS)) for number in range(KILLS)]
SMALL = ["width=8", "depth=1", "heads=2", "patches=6", "max_epochs=3", "dropout=0.1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Reference]]:
    """Give a task's training that nobody disturbed, with what it cannot run without."""
    torch.set_num_threads(1)  # threads do not survive a fork
    for module in pkgutil.walk_packages(patchsets.__path__, "patchsets."):  # else each round spends seconds
        importlib.import_module(module.name)
    with pytest.MonkeyPatch.context() as patch:

        @cache
        def train(task: str) -> Reference:
            folder = tmp_path_factory.mktemp(task)
            words = words_for(f"task={task}", folder, patch)
            words = read_by(words, [f"hparams.{word}" for word in SMALL])
            words += ["experiment_name=patch_sets", "loggers=[]", "save_model=false"]
            if task == "regression":
                words += ["+data.steps_per_epoch=8", "+data.test_sets=64"]
            return Reference(folder / "undisturbed", [*words, "trainer.log_every_n_steps=1"])

        yield train


@pytest.mark.parametrize(("task", "seed"), sorted(ROUNDS))
def test_training(undisturbed: Callable[[str], Reference], tmp_path: Path, task: str, seed: int) -> None:
    reference = undisturbed(task)
    moment = draw(seed).uniform(0, 1.1 * reference.seconds)
    kill_after(lambda: start(*reference.words, f"outputs={tmp_path}"), moment)
    goes_on_to_the_same_end(tmp_path, reference)

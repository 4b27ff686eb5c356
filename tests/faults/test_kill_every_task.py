"""kill -9 at random moments of every task's training: it goes on and ends in the same bits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from in_process import read_by, start, words_for
from kill import draw, kill_after
from undisturbed import FIRST_SEED, Reference, goes_on_to_the_same_end
from whole_command import ROOT

KILLS = int(os.environ.get("FAULTS_KILLS", "50"))  # spread over all tasks
TASKS = sorted(path.stem for path in (ROOT / "config/task").glob("*.yaml"))
ROUNDS = [(TASKS[number % len(TASKS)], FIRST_SEED + number // len(TASKS)) for number in range(KILLS)]
SMALL = ["width=8", "depth=1", "heads=2", "patches=6", "max_epochs=3", "dropout=0.1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[pytest.MonkeyPatch]:
    """What a task cannot run without, for as long as its rounds last."""
    torch.set_num_threads(1)  # threads do not survive a fork
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest, place: Path, stand_ins: pytest.MonkeyPatch) -> Reference:
    folder = place / request.param
    folder.mkdir()
    words = words_for(f"task={request.param}", folder, stand_ins)
    words = read_by(words, [f"hparams.{word}" for word in SMALL])
    words += ["experiment_name=patch_sets", "loggers=[]", "save_model=false", "trainer.log_every_n_steps=1"]
    return Reference(folder / "undisturbed", words)


@pytest.mark.parametrize(("reference", "seed"), sorted(ROUNDS), indirect=["reference"])
def test_training(reference: Reference, tmp_path: Path, seed: int) -> None:
    moment = draw(seed).uniform(0, 1.1 * reference.seconds)
    kill_after(lambda: start(*reference.words, f"outputs={tmp_path}"), moment)
    goes_on_to_the_same_end(tmp_path, reference)

"""Words typed beside resume= are obeyed or refused, and what the run folder says was done."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import start, words_for
from whole_command import QUICK

from workbench.run.metrics_file import read_metrics

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's, of workers and the like
BATCHES = 2  # of an epoch
FEW = [f"+trainer.limit_train_batches={BATCHES}", "+trainer.limit_test_batches=1", "save_model=false"]
WORDS = [*QUICK, *FEW, "trainer.log_every_n_steps=1", "loggers=[]"]


def run_in(outputs: Path, experiment: str = "patch_sets") -> Path:
    (folder,) = (path for path in (outputs / experiment).iterdir() if not path.is_symlink())
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, for all tests."""
    outputs = tmp_path_factory.mktemp("outputs")
    start(*WORDS, f"outputs={outputs}")
    return run_in(outputs)


@pytest.fixture
def finished(kept: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return shutil.copytree(kept, tmp_path / "outputs/patch_sets" / kept.name)


def rates(folder: Path) -> list[float]:
    """Return the learning rate of each step."""
    return [row.value for row in read_metrics(folder) if row.name == "learning_rate"]


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def test_words_are_obeyed_from_the_next_step_on(finished: Path) -> None:
    done = rates(finished)
    words = ["hparams.schedule=null", "hparams.learning_rate=0.0001", "hparams.weight_decay=0.5"]
    start(f"resume={finished}", *words, "hparams.max_epochs=3")
    assert rates(finished) == done + [0.0001] * BATCHES
    assert checkpoint(finished)["optimizer_states"][0]["param_groups"][0]["weight_decay"] == 0.5
    start(f"resume={finished}", "hparams.schedule=cosine", "hparams.max_epochs=4")
    assert rates(finished)[-BATCHES:] == pytest.approx([1.46e-5, 3.8e-6], rel=0.01)


def test_both_networks_of_a_gan_go_by_the_new_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = words_for("task=gan", tmp_path, monkeypatch)
    words = [*own, *FEW, "hparams.schedule=cosine", "trainer.log_every_n_steps=1", "loggers=[]"]
    for name, epochs in {"two": 2, "four": 4}.items():
        start(*words, f"outputs={tmp_path}", f"experiment_name={name}", f"hparams.max_epochs={epochs}")
    two, four = run_in(tmp_path, "two"), run_in(tmp_path, "four")
    start(f"resume={two}", "hparams.max_epochs=4")
    assert len(rates(two)) > 2 and rates(two)[-2:] == rates(four)[-2:]
    ended = [[state["param_groups"] for state in checkpoint(run)["optimizer_states"]] for run in (two, four)]
    assert ended[0] == ended[1]

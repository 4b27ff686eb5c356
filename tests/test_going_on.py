"""Words typed beside resume= are obeyed or refused, and what the run folder says was done."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import ConfigCompositionException
from in_process import start
from whole_command import QUICK

from workbench.common.errors import ConfigError, NonFiniteLoss
from workbench.run.metrics_file import read_metrics
from workbench.run.summary import read_summary

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's, of workers and the like
BATCHES = 2  # of an epoch
FEW = [f"+trainer.limit_train_batches={BATCHES}", "+trainer.limit_test_batches=1", "save_model=false"]
WORDS = [*QUICK, *FEW, "trainer.log_every_n_steps=1", "loggers=[]"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, for all tests."""
    outputs = tmp_path_factory.mktemp("outputs")
    start(*WORDS, f"outputs={outputs}")
    (folder,) = outputs.glob("patch_sets/2*")
    return folder


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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = {
    "hparams.width=32": "network cannot change (network.",
    "model=attention_pool": "network cannot change (network.",
    "hparams.optimizer=SGD": "hparams.optimizer cannot change (it was AdamW and is SGD here)",
    "hparams.optimizer=Adam": "hparams.optimizer cannot change (it was AdamW and is Adam here)",
    "+task.learning_rates={encode: 0.1}": "a learning rate of their own cannot change",
    "hparams.max_epochs=1": "hparams.max_epochs=1 is too few, 2 are done; 2 ends it here",
    "+trainer.max_steps=3": f"trainer.max_steps=3 is too few, {2 * BATCHES} are done",
    "seed=1": "keeps its name, seed and weights",
    "hparams.weight_decay=0.5": "all 2 epochs are done and nothing would obey hparams.weight_decay=0.5",
    "+data.test_fraction=0.3": "test_fraction",
    "experiment_name=other": "keeps its name",
    "init_from=5e8b": "keeps its name, seed and weights",
    "data=textures": "keeps the data and task",
    "hparams.learning_rate=fast": "hparams.learning_rate",
}


@pytest.mark.parametrize("word", REFUSED)
def test_a_refused_resume_leaves_every_byte_as_it_was(kept: Path, word: str) -> None:
    before = contents(kept)
    with pytest.raises((ConfigError, ConfigCompositionException)) as caught:
        start(f"resume={kept}", word)
    assert contents(kept) == before
    assert REFUSED[word] in str(caught.value)
    if "cannot change" in str(caught.value):
        assert word in str(caught.value) and f"init_from={kept}" in str(caught.value)


def test_a_state_that_a_callback_cannot_take_up_is_refused(finished: Path) -> None:
    path = finished / "checkpoints/last.ckpt"
    content = torch.load(path, weights_only=True)
    (key,) = (key for key in content["callbacks"] if "BestAndLast" in key)
    del content["callbacks"][key]["best_score"]
    torch.save(content, path)
    before = contents(finished)
    with pytest.raises(ConfigError, match="BestAndLast cannot go on from its state"):
        start(f"resume={finished}")
    assert contents(finished) == before


def test_a_resumed_run_that_fails_keeps_the_metrics_it_had(finished: Path) -> None:
    before = read_summary(finished)["metrics"]
    with pytest.raises(NonFiniteLoss):
        start(
            f"resume={finished}",
            "hparams.max_epochs=3",
            "hparams.learning_rate=1e30",
            "hparams.gradient_clip=null",
        )
    assert read_summary(finished)["status"] == "failed"
    assert read_summary(finished)["metrics"] == before


def test_debug_looks_into_a_run_and_leaves_no_trace_in_it(kept: Path, tmp_path: Path) -> None:
    before = contents(kept)
    start(f"resume={kept}", "debug=True", f"outputs={tmp_path}")
    assert contents(kept) == before

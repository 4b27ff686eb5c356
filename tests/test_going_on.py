"""Words typed beside resume= are obeyed or refused, and what the run folder says was done."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import ConfigCompositionException
from in_process import start
from whole_command import QUICK, ROOT

from workbench.common.errors import ConfigError, NonFiniteLoss
from workbench.config.choose import read_config
from workbench.history.record import read_run
from workbench.run.metrics_file import read_metrics
from workbench.run.provenance import write_provenance
from workbench.run.starts import environment_of, starts, words_of
from workbench.run.summary import Recording, read_summary
from workbench.tracking.trackers import describe

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


def test_words_for_steps_are_refused_where_patience_is_used_up(tmp_path: Path) -> None:
    words = ["hparams.early_stopping_patience=1", "hparams.learning_rate=5", "hparams.max_epochs=30"]
    start(*WORDS, *words, f"outputs={tmp_path}/outputs")
    (folder,) = tmp_path.glob("outputs/patch_sets/2*")
    assert checkpoint(folder)["epoch"] < 29
    with pytest.raises(
        ConfigError, match=r"its patience is used up and nothing would obey hparams\.learning_rate"
    ):
        start(f"resume={folder}", "hparams.learning_rate=0.001")


def test_another_monitor_has_seen_no_epoch_yet(finished: Path) -> None:
    words = ["task.monitor=val/accuracy", "task.monitor_mode=max", "hparams.max_epochs=3"]
    start(f"resume={finished}", *(f"++{word}" if word.startswith("task") else word for word in words))
    best = torch.load(finished / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 2


def test_a_root_key_that_version_0_1_took_is_dropped(finished: Path) -> None:
    with (finished / "config.yaml").open("a") as file:
        file.write("mine: 3\n")
    start(f"resume={finished}")
    assert "mine" not in read_config(finished)


def test_a_group_chosen_again_replaces_the_old_one(finished: Path, tmp_path: Path) -> None:
    start(f"repeat={finished}", "model=deep_sets", "loggers=csv", f"outputs={tmp_path}/new")
    (folder,) = (tmp_path / "new").glob("patch_sets/2*")
    config = read_config(folder)
    assert config.model._target_.endswith("DeepSets") and list(config.loggers) == ["csv"]
    assert "heads" not in config.hparams


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


def test_debug_looks_into_a_run_and_leaves_no_trace_in_it(kept: Path) -> None:
    before = contents(kept)
    link = kept.parents[2] / "latest/patch_sets"
    assert link.resolve() == kept
    start(f"resume={kept}", "debug=True")
    assert contents(kept) == before
    assert link.resolve() == kept  # what debug leaves has nothing to load
    (own,) = (folder for folder in kept.parent.iterdir() if folder != kept)
    assert read_config(own).debug and not (own / "checkpoints").exists()
    shutil.rmtree(own)


def test_each_start_keeps_its_own_record(finished: Path) -> None:
    first = contents(finished / "starts/1")
    assert {*first} == {
        "config.yaml",
        "environment.json",
        "overrides.yaml",
        "times.json",
        "uncommitted.diff",
        "code.zip",
        "lock.txt",
    }
    seconds = read_summary(finished)["seconds"]
    words = ["hparams.learning_rate=0.0001", "hparams.max_epochs=3"]
    start(f"resume={finished}", *words)
    assert contents(finished / "starts/1") == first
    assert words_of(finished / "starts/2") == [f"resume={finished}", *words]
    assert (finished / "starts/2/config.yaml").read_bytes() == (finished / "config.yaml").read_bytes()
    times = [json.loads((finished / f"starts/{n}/times.json").read_text()) for n in (1, 2)]
    spent = [time["ended"] - time["started"] for time in times]
    assert read_summary(finished)["seconds"] == pytest.approx(sum(spent), abs=1.0)
    assert read_summary(finished)["seconds"] > seconds

    record = read_run(finished)
    assert record.get("starts") == 2
    assert record.get("hparams.learning_rate") == 0.0001
    assert record.get("start1/hparams.learning_rate") == 0.002
    described = describe(read_config(finished), finished, 0.0)
    assert described.hparams["learning_rate"] == 0.002
    assert described.hparams["start2/learning_rate"] == 0.0001
    assert described.hparams["start2/max_epochs"] == 3
    assert "start2/width" not in described.hparams
    assert described.tags["start2"] == " ".join(words)


def test_a_start_that_was_killed_ended_when_it_last_wrote(finished: Path) -> None:
    times = finished / "starts/1/times.json"
    times.write_text('{"started": 1000.0}')
    for name in ("metrics.csv", "train.log"):
        os.utime(finished / name, (0, 1060))
    recording = Recording(finished)
    recording.begin()
    recording.release()
    assert json.loads(times.read_text()) == {"started": 1000.0, "ended": 1060.0}


def test_a_run_of_version_0_1_gets_a_record_for_its_first_start(tmp_path: Path) -> None:
    old = shutil.copytree(ROOT / "tests/runs_of_e4f38a4/sets", tmp_path / "sets")
    (old / "overrides.yaml").write_text("- hparams.width=16\n")
    (old / "environment.json").write_text('{"command": "python src/train.py hparams.width=16"}')
    before = (old / "config.yaml").read_bytes()
    assert read_run(old).get("starts") == 1
    recording = Recording(old)
    recording.begin()
    write_provenance(old, read_config(old), ["note=again"])
    recording.write_end("finished", {}, None)
    recording.release()
    assert (old / "starts/1/config.yaml").read_bytes() == before
    assert [words_of(each) for each in starts(old)] == [["hparams.width=16"], ["note=again"]]
    assert environment_of(old / "starts/1")["command"].endswith("width=16")
    assert not (old / "overrides.yaml").exists()

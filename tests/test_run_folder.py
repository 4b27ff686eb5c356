"""The run folder is complete when a run ends, in whichever way."""

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from in_process import start
from whole_command import QUICK, ROOT, Train, the_run

from workbench.run.folder import make_folder, name_folder
from workbench.run.summary import Recording, status

EXPECTED = {
    "config.yaml",
    "starts",
    "data.json",
    "train.log",
    "metrics.csv",
    "summary.json",
    "checkpoints",
    "figures",
    "tensorboard",
}


def test_finished_run_is_complete(train_apart: Train, outputs: Path, tmp_path: Path) -> None:
    done = train_apart(*QUICK, "experiment_name='日本 1'", "tags.author=me", cwd=tmp_path)
    folder = the_run(outputs, "日本 1")
    assert {path.name for path in folder.iterdir()} >= EXPECTED
    assert not [path.name for path in folder.rglob(".*.new")]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == status(folder) == "finished"
    assert f"{summary['metrics']['test/accuracy']:.4f}" in done.stdout
    environment = json.loads((folder / "starts/1/environment.json").read_text())
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    assert environment["commit"] == (commit or None)
    assert "tags.author=me" in environment["command"]
    assert environment["packages"]["torch"].startswith("2.")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["tags"] == {"author": "me"}
    assert yaml.safe_load((folder / "starts/1/overrides.yaml").read_text())[-1] == "tags.author=me"


def test_both_steps_and_epochs_are_logged_on_their_axes(train: Train, outputs: Path) -> None:
    from workbench.run.metrics_file import read_metrics

    train(*QUICK)
    rows = read_metrics(the_run(outputs))
    steps = {row.step for row in rows if row.name == "train/loss"}
    assert {row.axis for row in rows if row.name == "train/loss"} == {"step"}
    assert len(steps) > 2
    for name in ("train/loss_epoch", "val/loss", "val/accuracy"):
        assert [row.epoch for row in rows if row.name == name] == [0, 1]
        assert {row.axis for row in rows if row.name == name} == {"epoch"}
    assert [row.axis for row in rows if row.name == "learning_rate"]


def test_failed_run_says_so(train: Train, outputs: Path) -> None:
    done = train(*QUICK, "hparams.learning_rate=1e30", "hparams.gradient_clip=null", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    for part in ("error: the loss became", "step", "batch", "checkpoint"):
        assert part in line
    summary = json.loads((the_run(outputs) / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["error"] in line
    assert summary["error"] in (the_run(outputs) / "train.log").read_text()


def test_unexpected_failure_is_logged_with_its_traceback(train_apart: Train, outputs: Path) -> None:
    breaks = "{_target_: torch.ones, _partial_: true}"  # called with a trainer and a task
    callback = f"{{_target_: pytorch_lightning.callbacks.LambdaCallback, on_train_start: {breaks}}}"
    done = train_apart(*QUICK, f"+trainer.callbacks=[{callback}]", check=False)
    assert done.returncode == 1
    assert "Traceback" in (the_run(outputs) / "train.log").read_text()
    assert status(the_run(outputs)) == "failed"


def test_two_runs_of_one_second_differ(tmp_path: Path) -> None:
    first = name_folder(tmp_path, "same")
    assert make_folder(first)
    assert not make_folder(first)  # whoever comes second takes another name


def test_a_run_whose_name_is_taken_takes_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, ids = datetime.now(), iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("workbench.run.folder.datetime", SimpleNamespace(now=lambda: held))
    monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
    for _ in range(2):
        start(*QUICK, "hparams.max_epochs=1", "loggers=[]", f"outputs={tmp_path}")
    ended = {folder.name[-4:]: status(folder) for folder in tmp_path.glob("patch_sets/2*")}
    assert ended == {"aaaa": "finished", "bbbb": "finished"}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12, where threads live
def test_a_data_worker_does_not_hold_the_folder(tmp_path: Path) -> None:
    holds, lets_go = os.pipe()
    run = os.fork()
    if run == 0:  # a run with one worker, which outlives it
        recording = Recording(tmp_path)
        recording.begin()
        if os.fork() == 0:
            os.close(lets_go)
            assert recording.folder.is_dir()
            os.read(holds, 1)
        os._exit(0)
    os.waitpid(run, 0)
    try:
        assert status(tmp_path) == "dead"
    finally:
        os.close(lets_go)
        os.close(holds)

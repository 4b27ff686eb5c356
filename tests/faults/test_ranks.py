"""Runs of several processes, started and disturbed in every way: all end together, and say why."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from in_mlflow import assert_all_is_there_once
from in_process import read_by
from whole_command import QUICK, ROOT

TRAIN = str(ROOT / "src/train.py")
WORDS = [*QUICK, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "loggers=csv"]
LONG = "hparams.max_epochs=500"


def folder_of(outputs: Path) -> Path:
    (folder,) = (path for path in (outputs / "patch_sets").iterdir() if not path.is_symlink())
    return folder


def summary(outputs: Path) -> dict:
    return json.loads((folder_of(outputs) / "summary.json").read_text())


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def followers(outputs: Path) -> list[int]:
    """Return the processes of this run that are not rank 0."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "workbench.train.worker" in words and str(outputs) in words:
            found.append(int(entry.parent.name))
    return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of two ranks after its first epoch."""
    words = [sys.executable, TRAIN, *WORDS, LONG, f"outputs={tmp_path}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: list(tmp_path.rglob("last.ckpt")) or process.poll() is not None)
    assert len(followers(tmp_path)) == 1
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_all_ranks(running: subprocess.Popen[str], tmp_path: Path, stop: int) -> None:
    running.send_signal(stop)
    said, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + stop
    assert "Traceback" not in errors
    assert f"resume={folder_of(tmp_path)}" in said
    assert summary(tmp_path)["status"] == "interrupted"
    assert followers(tmp_path) == []


def test_a_killed_rank_ends_the_run_and_is_named(running: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(followers(tmp_path)[0], signal.SIGKILL)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert errors.strip().splitlines()[-1] == "error: rank 1: its process was killed by signal 9"
    assert "Traceback" not in errors
    assert summary(tmp_path)["status"] == "failed"
    assert followers(tmp_path) == []


def test_no_rank_outlives_rank_zero(running: subprocess.Popen[str], tmp_path: Path) -> None:
    running.kill()
    running.wait()
    until(lambda: not followers(tmp_path), seconds=30)


def test_an_error_in_one_rank_is_told_by_rank_zero(tmp_path: Path) -> None:
    callback = "{_target_: broken_rank.BreaksInRankOne}"
    words = [*WORDS, LONG, f"+trainer.callbacks=[{callback}]", "trusted_targets=[broken_rank.]"]
    done = subprocess.run(
        [sys.executable, TRAIN, *words, f"outputs={tmp_path}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "error: rank 1: ZeroDivisionError: planted"
    assert summary(tmp_path)["status"] == "failed"
    assert "broken_rank.py" in (folder_of(tmp_path) / "train.log").read_text()  # its traceback


@pytest.mark.filterwarnings("ignore")  # MLflow's own dependencies warn as they like
def test_trackers_see_one_run(tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    store.mkdir()
    uri = f"sqlite:///{store}/mlflow.db"
    words = [*WORDS, "loggers=mlflow", "trainer.log_every_n_steps=1", f"outputs={tmp_path}"]
    done = subprocess.run(
        [sys.executable, TRAIN, *words],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "mlflow lacks" not in done.stderr, done.stderr
    assert_all_is_there_once(uri, folder_of(tmp_path))


def test_torchrun(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, TRAIN, *WORDS, f"outputs={tmp_path}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path)["status"] == "finished"
    assert done.stdout.count("test/accuracy") == 1


def test_torchrun_with_a_rank_that_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    callback = "{_target_: broken_rank.BreaksInRankOne}"
    words = [*WORDS, LONG, f"+trainer.callbacks=[{callback}]", "trusted_targets=[broken_rank.]"]
    done = subprocess.run(
        [*command, TRAIN, *words, f"outputs={tmp_path}"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "error: rank 1: ZeroDivisionError: planted" in done.stderr
    assert summary(tmp_path)["status"] == "failed"


def test_too_few_devices_for_torchrun_are_refused_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, TRAIN, *QUICK, f"outputs={tmp_path}"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert done.stderr.count("error: trainer: 2 processes run, but") == 1


def test_slurm(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        slurm = {
            "NTASKS": 2,
            "PROCID": rank,
            "LOCALID": rank,
            "NODEID": 0,
            "JOB_ID": 1234,
            "NTASKS_PER_NODE": 2,
        }
        variables = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
        variables |= {"SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, TRAIN, *WORDS, f"outputs={tmp_path}"]
        processes.append(
            subprocess.Popen(
                command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert summary(tmp_path)["status"] == "finished"
    assert sum(output.count("test/accuracy") for output, _ in said) == 1


@pytest.mark.parametrize("task", ["autoencoder", "vae", "gan", "defect_segmentation"])
def test_a_detector_learns_on_two_ranks(tmp_path: Path, task: str) -> None:
    few = [f"+data.{name}={count}" for name, count in {"train": 8, "val": 6, "per_kind": 3}.items()]
    words = [
        f"task={task}",
        "experiment_name=patch_sets",
        "data=anomaly_demo",
        "hparams.image_size=32",
        "hparams.batch_size=2",
        *few,
    ]
    known = read_by(words, [word for word in WORDS if word.startswith("hparams.")])
    rest = [word for word in WORDS if not word.startswith("hparams.")]
    done = subprocess.run(
        [sys.executable, TRAIN, *rest, *known, f"outputs={tmp_path / 'outputs'}"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "outputs")["status"] == "finished"
    assert done.stdout.count("  run folder ") == 1  # of rank 0 alone
    assert (folder_of(tmp_path / "outputs") / "figures" / "roc.png").is_file()
    assert "Warning" not in done.stderr
    assert "GPU available" not in done.stderr

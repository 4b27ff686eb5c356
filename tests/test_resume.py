"""A run that was stopped in any way goes on where it was, and ends in the numbers of an undisturbed one."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from whole_command import QUICK, ROOT, Train, the_run

EPOCHS = 4
WORDS = [*QUICK, f"hparams.max_epochs={EPOCHS}", "hparams.dropout=0.1", "loggers=csv"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed."""
    outputs = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(_command(outputs, *WORDS), check=True, capture_output=True, timeout=300)
    return _only_run(outputs)


def _command(outputs: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "src/train.py"), f"outputs={outputs}", *words]


def _only_run(outputs: Path) -> Path:
    return the_run(outputs)


def _summary(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


def _values(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open() as file:
        return [row[1:] for row in csv.reader(file)]  # all but the time


def _start_and_stop(outputs: Path, stop: signal.Signals, at_row: int) -> tuple[Path, int]:
    """Send a signal once the run has written so many rows; return its folder and exit code."""
    process = subprocess.Popen(
        _command(outputs, *WORDS), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        written = list(outputs.glob("patch_sets/*/metrics.csv"))
        if written and len(written[0].read_text().splitlines()) > at_row:
            break
        time.sleep(0.005)
    os.kill(process.pid, stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0, f"the run ended before it was stopped: {errors.decode()}"
    return _only_run(outputs), process.returncode


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_resumed_run_equals_an_uninterrupted_one(
    train: Train, uninterrupted: Path, outputs: Path, stop: signal.Signals
) -> None:
    rows = len(_values(uninterrupted))
    at_row = random.randrange(rows // (EPOCHS + 1), rows * (EPOCHS - 1) // EPOCHS)
    print(f"{stop.name} after {at_row} of {rows} rows")
    folder, code = _start_and_stop(outputs, stop, at_row)
    if stop is signal.SIGKILL:
        assert _summary(folder)["status"] == "running"
        from workbench.run.summary import status

        assert status(folder) == "dead"
    else:
        assert code == 128 + stop
        assert _summary(folder)["status"] == "interrupted"
    # workers, which fetch ahead, change nothing either
    train(f"resume={folder}", *(["+data.num_workers=2"] if stop is signal.SIGKILL else []))
    assert _summary(folder)["status"] == "finished"
    assert _summary(folder)["metrics"] == _summary(uninterrupted)["metrics"]
    assert _values(folder) == _values(uninterrupted)
    assert [path.name for path in (outputs / "patch_sets").iterdir() if not path.is_symlink()] == [
        folder.name
    ]
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(folder / "checkpoints" / name, uninterrupted / "checkpoints" / name)


def assert_same_weights(one: Path, other: Path) -> None:
    weights, expected = (torch.load(path, weights_only=True)["state_dict"] for path in (one, other))
    assert weights.keys() == expected.keys()
    for name in weights:
        assert torch.equal(weights[name], expected[name]), name


def test_a_kill_between_the_two_checkpoints_loses_neither(
    uninterrupted: Path, train: Train, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(uninterrupted, folder, symlinks=True)
    checkpoints = folder / "checkpoints"
    last = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert any(state.get("last_is_best") for state in last["callbacks"].values())
    (checkpoints / "best.ckpt").unlink()
    train(f"resume={folder}")
    assert_same_weights(checkpoints / "best.ckpt", uninterrupted / "checkpoints" / "best.ckpt")
    assert _summary(folder)["metrics"] == _summary(uninterrupted)["metrics"]


def test_same_command_gives_the_same_bits(train: Train, outputs: Path, uninterrupted: Path) -> None:
    train(*WORDS)
    folder = _only_run(outputs)
    assert _summary(folder)["metrics"] == _summary(uninterrupted)["metrics"]
    assert _values(folder) == _values(uninterrupted)


def test_another_seed_gives_other_numbers(train: Train, outputs: Path, uninterrupted: Path) -> None:
    train(*WORDS, "seed=1")
    assert _summary(_only_run(outputs))["metrics"] != _summary(uninterrupted)["metrics"]


def test_repeat_runs_the_saved_config_in_a_new_folder(
    train: Train, outputs: Path, uninterrupted: Path
) -> None:
    done = train(f"repeat={uninterrupted}")
    assert "repetition the same, bit for bit" in " ".join(done.stdout.split())
    folder = _only_run(outputs)
    assert folder != uninterrupted
    assert _summary(folder)["metrics"] == _summary(uninterrupted)["metrics"]


def test_init_from_starts_with_the_weights_alone(train: Train, outputs: Path, uninterrupted: Path) -> None:
    train(
        f"repeat={uninterrupted}",
        f"init_from={uninterrupted}",
        "hparams.max_epochs=1",
        "hparams.learning_rate=1e-9",
    )
    metrics, expected = (_summary(folder)["metrics"] for folder in (_only_run(outputs), uninterrupted))
    assert metrics["test/loss"] == pytest.approx(expected["test/loss"], rel=1e-3)  # type: ignore[index]


def test_init_from_another_network_is_one_line(train: Train, uninterrupted: Path) -> None:
    done = train(f"repeat={uninterrupted}", f"init_from={uninterrupted}", "hparams.width=32", check=False)
    assert done.returncode == 1
    assert "another network's" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_damaged_checkpoint_is_one_line(train: Train, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(uninterrupted, folder)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    done = train(f"resume={folder}", check=False)
    assert done.returncode == 1
    assert str(last) in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_resume_of_a_living_run_is_refused(uninterrupted: Path, train: Train) -> None:
    import fcntl

    with (uninterrupted / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = train(f"resume={uninterrupted}", check=False)
    assert done.returncode == 2
    assert "living run" in done.stderr
    assert _summary(uninterrupted)["status"] == "finished"


def test_resume_refuses_what_would_make_it_another_run(uninterrupted: Path, train: Train) -> None:
    done = train(f"resume={uninterrupted}", "data=textures", check=False)
    assert done.returncode == 2
    assert "data=textures" in done.stderr

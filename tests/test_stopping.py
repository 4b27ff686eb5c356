"""Ctrl-C reaches every process of a terminal, and may come twice."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from whole_command import QUICK, ROOT, the_run

from workbench.common.errors import Interrupted
from workbench.common.stopping import StopSignals


def test_the_first_signal_raises_and_the_next_once_it_is_heard_again() -> None:
    earlier = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        with pytest.raises(Interrupted) as stop:
            signal.raise_signal(signal.SIGINT)
        assert stop.value.exit_code == 130
        signal.raise_signal(signal.SIGINT)
        signals.hear(True)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is earlier


def test_a_data_worker_that_ends_with_the_signal_is_not_reported() -> None:
    earlier = signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's data loader sets its own
    pending = {signal.SIGTERM, signal.SIGCHLD}
    try:
        with StopSignals(), pytest.raises(Interrupted):
            signal.pthread_sigmask(signal.SIG_BLOCK, pending)
            for number in pending:
                signal.raise_signal(number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, pending)
    finally:
        signal.signal(signal.SIGCHLD, earlier)


@pytest.mark.parametrize(("earlier", "is_heard"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_lost_terminal_stops_a_run_unless_it_was_started_to_outlive_it(
    earlier: signal.Handlers, is_heard: bool
) -> None:
    found = signal.signal(signal.SIGHUP, earlier)  # ignored: by nohup
    try:
        with StopSignals(), pytest.raises(Interrupted) if is_heard else nullcontext() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert not is_heard or stop.value.exit_code == 129
        assert signal.getsignal(signal.SIGHUP) is earlier
    finally:
        signal.signal(signal.SIGHUP, found)


class StoppedInItsDestructor:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_signal_whose_exception_a_destructor_swallows_is_sent_anew() -> None:
    with StopSignals(), pytest.raises(Interrupted):
        StoppedInItsDestructor()
        time.sleep(60)  # ended by the second signal


def test_a_data_worker_does_not_report_that_its_stopped_parent_hung_up() -> None:
    code = """
import os, workbench.common.stopping
child = os.fork()
if not child:
    raise ConnectionResetError
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_data_workers_too_is_an_interruption(tmp_path: Path, stop: signal.Signals) -> None:
    words = [*QUICK, "hparams.max_epochs=500", "+data.num_workers=2", "loggers=csv", f"outputs={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "src/train.py"), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    assert "Traceback" not in errors
    summary = the_run(tmp_path) / "summary.json"
    assert json.loads(summary.read_text())["status"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)

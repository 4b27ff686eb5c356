"""The process beside training: it serves one run after the other, and neither's end harms the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pretend_run import train
from strange_trackers import Locked, Printing, Slow, Telling

from workbench.common.errors import ConfigError, Interrupted
from workbench.common.workspace import ROOT
from workbench.tracking import uploader_process as mirror_process
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader_process import MirrorProcess, check_tracker


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process be no other test's."""
    monkeypatch.setattr(mirror_process, "_senders", {})
    yield
    for sender in mirror_process._senders.values():
        sender.end()


def told(folder: Path) -> list[str]:
    return (folder / "told.txt").read_text().splitlines()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and " Z " not in stat.read_text()


def test_one_process_serves_all_runs(
    folder: Path, description: RunDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = set()
    for planted in ("first", "second"):
        monkeypatch.setenv("PLANTED", planted)
        mirror = MirrorProcess(folder, {"telling": Telling()}, description)
        mirror.start()
        train(folder)
        mirror.close("finished")
        process, environment = told(folder)[0].split()
        assert environment == planted
        assert len(told(folder)) == 1 + 22 + 1
        assert told(folder)[-1] == "finished"
        processes.add(process)
    assert len(processes) == 1
    assert processes != {str(os.getpid())}


def test_what_libraries_print_goes_into_the_log_file_only(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    mirror = MirrorProcess(folder, {"telling": Telling()}, description)
    mirror.start()
    mirror.close("finished")
    (record,) = (record for record in caplog.records if record.getMessage() == "what a library prints")
    assert record.only_in_file


def test_what_libraries_print_is_never_taken_for_the_end(folder: Path, description: RunDescription) -> None:
    mirror = MirrorProcess(folder, {"printing": Printing()}, description)
    mirror.start()
    train(folder)
    sender = mirror._sender
    assert sender is not None
    mirror.close("finished", may_be_left=lambda: wait_for(sender.is_done.is_set))
    assert told(folder)[-1] == "finished"


def test_a_tracker_that_cannot_be_sent_there_is_a_mistake_like_any_other() -> None:
    check_tracker("telling", Telling())
    with pytest.raises(ConfigError, match="locked: it cannot be sent to the process beside training"):
        check_tracker("locked", Locked())


def test_its_death_costs_one_line_and_the_next_run_has_another(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = MirrorProcess(folder, {"telling": Telling()}, description)
    mirror.start()
    wait_for((folder / "told.txt").is_file)
    os.kill(int(told(folder)[0].split()[0]), signal.SIGKILL)
    train(folder)
    mirror.close("finished")
    said = "what sends to telling was killed by signal 9; to send the rest: python src/sync.py"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{said} {folder}"]
    again = MirrorProcess(folder, {"telling": Telling()}, description)
    again.start()
    again.close("finished")
    assert len(told(folder)) == 1 + 22 + 1


def test_a_tracker_that_hangs_can_be_left_by_ctrl_c(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture
) -> None:
    def ctrl_c() -> None:
        raise Interrupted(signal.SIGINT)

    mirror = MirrorProcess(folder, {"slow": Slow()}, description)
    mirror.start()
    wait_for((folder / "told.txt").is_file)
    train(folder)
    mirror.close("finished", wait=0.1, may_be_left=ctrl_c)
    assert "slow lacks 22 values and the files (it is slow)" in caplog.records[-1].getMessage()


def test_it_ends_with_the_process_that_trains_though_a_data_worker_outlives_that(folder: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from strange_trackers import Telling
from workbench.tracking.uploader_process import MirrorProcess
from workbench.tracking.tracker import RunDescription
folder = Path({str(folder)!r})
mirror = MirrorProcess(folder, {{"telling": Telling()}}, RunDescription(folder, "", "", {{}}, {{}}, 0.0))
mirror.start()
if worker := os.fork():
    (folder / "worker.txt").write_text(str(worker))
    input()
signal.alarm(60)
signal.pause()
"""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT / "src")])
    }
    trains = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment)
    wait_for(lambda: (folder / "told.txt").is_file() and told(folder))
    wait_for(lambda: (folder / "worker.txt").is_file() and (folder / "worker.txt").read_text())
    process = int(told(folder)[0].split()[0])
    assert is_alive(process)
    trains.kill()
    trains.communicate()
    try:
        wait_for(lambda: not is_alive(process))
    finally:
        os.kill(int((folder / "worker.txt").read_text()), signal.SIGKILL)

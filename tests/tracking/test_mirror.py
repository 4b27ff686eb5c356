"""The mirror: no tracker, however broken, ever reaches training, and none gets a value twice."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pretend_run import train, write_png

from workbench.common.workspace import ROOT
from workbench.run.metrics_file import Row
from workbench.tracking import uploader as mirror_module
from workbench.tracking.artifacts import Acknowledged
from workbench.tracking.tracker import RunDescription
from workbench.tracking.uploader import Mirror


class Recorder:
    """A tracker that keeps what it is given, and its id of the run; `broken` makes it raise."""

    name = "recorder"

    def __init__(self, run_id: str = "7") -> None:
        self.run_id = run_id
        self.broken = False
        self.refused = 0
        self.keys: list[str] = []
        self.rows: list[Row] = []
        self.figures: list[str] = []
        self.status = ""

    def start(self, run: RunDescription, key: str) -> str:
        self.fail_if_broken()
        self.run = run
        self.keys.append(key)
        return self.run_id

    def scalars(self, rows: list[Row]) -> None:
        self.fail_if_broken()
        self.rows += rows

    def figure(self, name: str, path: Path) -> None:
        self.figures.append(name)

    def finish(self, status: str) -> None:
        self.fail_if_broken()
        self.status = status

    def fail_if_broken(self) -> None:
        if self.broken:
            self.refused += 1
            raise ConnectionError("nobody answers\nat all")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "INTERVAL", 0.02)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_values_and_figures_arrive_while_training_runs(folder: Path, description: RunDescription) -> None:
    tracker = Recorder()
    feed = Mirror(folder, {"recorder": tracker}, description)
    feed.start()  # before there is a metrics.csv
    train(folder, last=10)
    (folder / "figures" / "deep").mkdir()
    write_png(folder / "figures" / "deep" / "map.png")
    wait_for(lambda: len(tracker.rows) == 11 and tracker.figures == ["deep/map"])
    train(folder, first=10)
    feed.close("finished")
    assert [row.x for row in tracker.rows if row.axis == "step"] == list(range(20))
    assert tracker.status == "finished"


def test_an_outage_costs_one_line_and_nothing_else(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Recorder()
    tracker.broken = True
    feed = Mirror(folder, {"recorder": tracker}, description)
    feed.start()
    train(folder)
    wait_for(lambda: tracker.refused > 1)
    tracker.broken = False
    wait_for(lambda: len(tracker.rows) == 22)
    feed.close("finished")
    assert len(tracker.rows) == 22
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [
        "cannot reach recorder (ConnectionError: nobody answers); training continues and will retry"
    ]


def test_what_was_not_sent_is_said_in_one_line_and_sent_once_later(
    folder: Path, description: RunDescription, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Recorder()
    feed = Mirror(folder, {"recorder": tracker}, description)
    feed.start()
    train(folder, last=10)
    wait_for(lambda: len(tracker.rows) == 11)
    tracker.broken = True
    train(folder, first=10)
    caplog.clear()
    feed.close("finished", wait=0.2)
    said = "recorder lacks 11 values and the files (ConnectionError: nobody answers)"
    assert caplog.records[-1].getMessage() == f"{said}; to send them: python src/sync.py {folder}"
    assert not any(thread.name == "tracker recorder" and thread.is_alive() for thread in later_threads())
    tracker.broken = False
    again = Mirror(folder, {"recorder": tracker}, description)
    again.start()
    again.close("finished")
    assert len(tracker.rows) == 22
    assert tracker.keys[0] == tracker.keys[-1]


def later_threads() -> list[threading.Thread]:
    """The threads that are left once a stopped one had time for its last pause."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and any(t.name.startswith("tracker") for t in threading.enumerate()):
        time.sleep(0.05)
    return threading.enumerate()


@pytest.mark.parametrize(("run_id", "sent_again"), [("7", 0), ("8", 22), ("", 22)])
def test_only_the_rest_goes_to_a_run_that_is_still_there(
    folder: Path, description: RunDescription, run_id: str, sent_again: int
) -> None:
    train(folder)
    for tracker in (Recorder("7" if run_id else ""), later := Recorder(run_id)):
        feed = Mirror(folder, {"recorder": tracker}, description)
        feed.start()
        feed.close("finished")
    assert len(later.rows) == sent_again


def test_a_slow_tracker_holds_up_no_other(folder: Path, description: RunDescription) -> None:
    answer = threading.Event()

    class Slow(Recorder):
        name = "slow"

        def start(self, run: RunDescription, key: str) -> str:
            answer.wait(10)
            return super().start(run, key)

    slow, quick = Slow(), Recorder()
    feed = Mirror(folder, {"slow": slow, "recorder": quick}, description)
    feed.start()
    train(folder)
    wait_for(lambda: len(quick.rows) == 22)
    assert slow.rows == []
    answer.set()
    feed.close("finished")
    assert len(slow.rows) == 22


def test_a_tracker_that_hangs_is_left_behind(
    folder: Path,
    description: RunDescription,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mirror_module, "PATIENCE", 0.3)
    answer = threading.Event()

    class Hanging(Recorder):
        def scalars(self, rows: list[Row]) -> None:
            answer.wait(10)

    feed = Mirror(folder, {"recorder": Hanging()}, description)
    feed.start()
    train(folder)
    feed.close("finished", wait=0.1)
    assert not answer.is_set()
    assert "recorder lacks 22 values and the files (it is slow)" in caplog.records[-1].getMessage()
    answer.set()


def test_a_tracker_is_given_no_secret(
    folder: Path, description: RunDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "planted-value")
    description.tags["note"] = "it is planted-value"
    description.hparams.update({"password": "abc", "path": "/x/planted-value/y"})
    tracker = Recorder()
    feed = Mirror(folder, {"recorder": tracker}, description)
    feed.start()
    feed.close("finished")
    assert tracker.run.tags["note"] == "it is ***"
    assert (tracker.run.hparams["password"], tracker.run.hparams["path"]) == ("***", "/x/***/y")


def test_two_workers_of_a_sweep_keep_what_it_has_sent(folder: Path) -> None:
    code = f"""
from pathlib import Path
from workbench.tracking.artifacts import Acknowledged, Taken
acknowledged = Acknowledged(Path({str(folder)!r}))
for offset in range(500):
    acknowledged.save("recorder", Taken(offset=offset))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    workers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert Acknowledged(folder).by("recorder").offset == 499
    assert [path.name for path in folder.glob(".*.new")] == []

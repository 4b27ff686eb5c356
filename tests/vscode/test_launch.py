"""F5, driven as the editor drives it: debugpy starts what launch.json says, and stops where it should."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debug_adapter import DebugAdapter, Message, first_line

ROOT = Path(__file__).resolve().parents[2]
STEP = ("src/workbench/train/base.py", "training_step")
PIPELINE = ("src/workbench/train/loading.py", "__getitems__")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of what F5 runs, so that its run folder is not left in the workspace."""
    for folder in ("src", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def debugger() -> Iterator[DebugAdapter]:
    """An adapter that is gone afterwards."""
    adapter = DebugAdapter({"OMP_NUM_THREADS": "1"})
    yield adapter
    adapter.close()


def configuration(name: str, workspace: Path) -> dict[str, Any]:
    """Return a configuration of launch.json with the editor's variables filled in."""
    text = (ROOT / ".vscode/launch.json").read_text().replace("${workspaceFolder}", str(workspace))
    (found,) = [each for each in json.loads(text)["configurations"] if each["name"] == name]
    return {**found, "console": "internalConsole"}  # a terminal is the editor's part


def launch(debugger: DebugAdapter, workspace: Path, *stops: tuple[str, str]) -> None:
    """Start `train (debug)` with a breakpoint at the top of each function, and on uncaught exceptions."""
    debugger.ask("initialize", adapterID="debugpy", pathFormat="path")
    debugger.send("launch", **configuration("train (debug)", workspace))
    debugger.event("initialized")
    for file, function in stops:
        path = workspace / file
        line = {"line": first_line(path, function)}
        (point,) = debugger.ask("setBreakpoints", source={"path": str(path)}, breakpoints=[line])[
            "breakpoints"
        ]
        assert point["verified"]
    debugger.ask("setExceptionBreakpoints", filters=["uncaught"])  # what the editor ticks by itself
    debugger.ask("configurationDone")


def stopped(debugger: DebugAdapter, reason: str) -> tuple[int, list[Message]]:
    """Wait for a stop; return its thread and its frames, topmost first."""
    event = debugger.event("stopped")
    assert event["reason"] == reason, event
    thread = int(event["threadId"])
    return thread, list(debugger.ask("stackTrace", threadId=thread)["stackFrames"])


def at(frame: Message, workspace: Path) -> tuple[str, str]:
    """Return where a frame is, as breakpoints are given here."""
    return str(Path(frame["source"]["path"]).relative_to(workspace)), frame["name"]


def test_breakpoints_in_the_data_pipeline_and_the_training_step(
    debugger: DebugAdapter, workspace: Path
) -> None:
    launch(debugger, workspace, PIPELINE, STEP)
    thread, frames = stopped(debugger, "breakpoint")
    assert at(frames[0], workspace) == PIPELINE
    assert int(debugger.evaluate("len(rows)", frames[0])) > 1
    debugger.ask("setBreakpoints", source={"path": str(workspace / PIPELINE[0])}, breakpoints=[])
    debugger.ask("continue", threadId=thread)

    thread, frames = stopped(debugger, "breakpoint")
    assert at(frames[0], workspace) == STEP
    assert re.fullmatch(r"torch.Size\(\[\d+\]\)", debugger.evaluate("batch.label.shape", frames[0]))
    debugger.ask("continue", threadId=thread)
    assert debugger.event("exited")["exitCode"] == 0, debugger.output
    assert list((workspace / "outputs/__debug__").glob("*/summary.json"))


def test_an_uncaught_exception_stops_in_the_users_frame(debugger: DebugAdapter, workspace: Path) -> None:
    launch(debugger, workspace, STEP)
    thread, frames = stopped(debugger, "breakpoint")
    debugger.evaluate("batch.label = batch.label + 1000", frames[0])  # an error deep inside torch
    debugger.ask("continue", threadId=thread)
    thread, frames = stopped(debugger, "exception")
    assert at(frames[0], workspace) == ("src/patchsets/task/classification.py", "_training_loss")
    assert at(frames[2], workspace) == STEP
    debugger.ask("continue", threadId=thread)
    assert debugger.event("exited")["exitCode"] == 1

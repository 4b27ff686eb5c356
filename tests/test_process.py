"""Whatever becomes of the screen and of the current folder, a command does its work or says one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_command import QUICK, ROOT

from workbench.common.workspace import typed
from workbench.run.summary import status

PRINT = """
import contextlib, os, sys
from workbench.common.process import begin_process
begin_process()
with open(sys.argv[1], "w") as file:
    file.write("kept")
    print("a line", flush=True)
    print("a line", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        os.write(2, b"of a library")
print("at the end")
"""


@pytest.mark.parametrize("shell", ["{} >&- 2>&-", "{} <&- >&- 2>&-", "{} > /dev/full 2>&1"])
def test_a_screen_that_is_closed_or_full(tmp_path: Path, shell: str) -> None:
    kept = tmp_path / "kept"
    command = shell.format('"$0" -c "$1" "$2"')
    done = subprocess.run(["sh", "-c", command, sys.executable, PRINT, kept], cwd=ROOT / "src")
    assert (done.returncode, kept.read_text()) == (0, "kept")


def test_what_is_read_is_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINT, tmp_path / "kept"]
    done = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("a line\nat the end\n", "a line\nof a library")


def test_a_training_of_which_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    words = [*QUICK, "loggers=csv", f"outputs={tmp_path}"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, ROOT / "src/train.py", *words], stdout=writer, stderr=writer)
    os.close(writer)
    (folder,) = tmp_path.glob("patch_sets/2*")
    assert (done.returncode, status(folder)) == (0, "finished")


@pytest.mark.parametrize("script", ["train.py", "sync.py", "inference.py"])
def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path, script: str) -> None:
    command = 'rmdir "$PWD"; "$0" "$1" model=x'
    words = [sys.executable, ROOT / "src" / script]
    done = subprocess.run(["sh", "-c", command, *words], cwd=tmp_path, capture_output=True, text=True)
    said = "error: the current folder has been removed; change to one that is there\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_folder_that_goes_in_the_middle_costs_no_run_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert typed(tmp_path) == str(tmp_path)

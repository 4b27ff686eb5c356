"""Work in a forked process that is killed at a random moment; what it must leave whole."""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

Work = Callable[[], object]
SILENCE = Path(os.devnull)


def draw(seed: int) -> random.Random:
    """Return the randomness of one round, and print what repeats it."""
    print(f"round {seed}", flush=True)
    return random.Random(seed)


def run(work: Work) -> None:
    """Do work in a process of its own and wait; it must succeed."""
    assert exit_code(work, SILENCE) == 0


def exit_code(work: Work, screen: Path) -> int:
    """Do work in a process of its own that writes to `screen`, and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(_start(work, screen), 0)[1])


def timed(work: Work) -> float:
    """Return the seconds the work takes."""
    begun = time.monotonic()
    run(work)
    return time.monotonic() - begun


def kill_after(work: Work, seconds: float) -> None:
    """Start work and kill it with all its children, unless it is done by then."""
    child = _start(work)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    _kill(child)


def kill_when(work: Work, moment: Callable[[], bool]) -> None:
    """Start work and kill it as soon as the moment has come, or when it is done."""
    child = _start(work)
    while not moment() and os.waitpid(child, os.WNOHANG) == (0, 0):
        pass
    _kill(child)


class Growing:
    """The moment when a file of a run, in its n-th writing (from 0), has so many bytes."""

    def __init__(self, outputs: Path, name: str, writing: int, size: int) -> None:
        self._outputs, self._name = outputs, name
        self._before, self._size = writing, size
        self._path: Path | None = None
        self._is_there = False

    def __call__(self) -> bool:
        if self._path is None:  # found once: looking at one name takes microseconds
            folders = self._outputs.glob(f"patch_sets/2*/{Path(self._name).parent}")
            self._path = next((folder / Path(self._name).name for folder in folders), None)
            return False
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            self._before -= self._is_there
            self._is_there = False
            return False
        self._is_there = True
        return self._before <= 0 and size >= self._size


def _kill(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):  # it was done
        pass


def _start(work: Work, screen: Path = SILENCE) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        _write_to(screen)
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _write_to(screen: Path) -> None:
    descriptor = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    if screen != SILENCE or not os.environ.get("SHOW_FAULTS"):
        os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")


def assert_whole(folder: Path) -> None:
    """No file under a final name is a part of one; hidden files are work in progress."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            _check(path)


def _check(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".png":
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
    elif path.suffix in (".ckpt", ".pt2"):
        with ZipFile(path) as archive:
            assert archive.testzip() is None, path

"""Work in a forked process that is killed at a random moment; what it must leave whole."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

Work = Callable[[], object]


def draw(seed: int) -> random.Random:
    """Return the randomness of one round, and print what repeats it."""
    print(f"round {seed}", flush=True)
    return random.Random(seed)


def run(work: Work) -> None:
    """Do work in a process of its own and wait; it must succeed."""
    assert _wait(_start(work)) == 0


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


def _kill(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):  # it was done
        pass


def _start(work: Work) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        if not os.environ.get("SHOW_FAULTS"):
            os.dup2(silence, 2)
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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

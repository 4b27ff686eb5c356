"""What the process beside training does: it mirrors one run after the other, as orders on stdin say.

It writes JSON for each record of its log, and `[]` when a run is closed, amid whatever libraries print.
"""

import json
import logging
import os
import pickle
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from workbench.common.errors import Interrupted
from workbench.common.stopping import StopSignals
from workbench.run.log import quieten
from workbench.tracking.tracker import RunDescription, Tracker
from workbench.tracking.uploader import Mirror

MARK = "\x1e"  # before what it writes itself (RFC 7464): a library may have left a line unfinished
NICENESS = 10  # where training needs every core it comes first


@dataclass(frozen=True)
class Begin:
    """The order to mirror a run, in the environment of the process that trains."""

    folder: Path
    trackers: dict[str, Tracker]
    run: RunDescription
    environment: dict[str, str]


@dataclass(frozen=True)
class Close:
    """The order to send the rest; `wait` is in seconds."""

    status: str
    wait: float


def parse(line: bytes) -> tuple[str, list[Any] | None]:
    """Part a line: what libraries print; then [logger, level, text], or [] when a run is closed, or None."""
    printed, mark, said = line.decode(errors="replace").rstrip("\n").partition(MARK)
    try:
        return printed, json.loads(said) if mark else None
    except ValueError:  # a library printed into it
        return printed + said, None


def main() -> None:
    """Follow orders until there are none."""
    os.nice(NICENESS)
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    logging.basicConfig(handlers=[Lines(said)], level=logging.INFO)
    quieten()
    mirror = None
    with StopSignals() as signals:
        signals.hear(False)
        while order := _next(sys.stdin.buffer):
            if isinstance(order, Begin):
                mirror = _begin(order)
            else:
                if mirror is not None:  # else Ctrl-C came before its beginning was told
                    _close(mirror, order, signals)
                mirror = None
                _say([], said)
    os._exit(0)  # a tracker that hangs must not hold it


def _say(content: list[Any], said: TextIO) -> None:
    """Write one line, in one piece: other threads write too, and nobody may be left to read it."""
    with suppress(OSError):
        said.write(f"{MARK}{json.dumps(content)}\n")
        said.flush()


def _next(orders: BinaryIO) -> Begin | Close | None:
    try:
        return pickle.load(orders)  # from the process that started this one, and nobody else
    except EOFError:  # it is gone
        return None


def _begin(order: Begin) -> Mirror:
    os.environ.clear()
    os.environ.update(order.environment)
    mirror = Mirror(order.folder, order.trackers, order.run)
    mirror.start()
    return mirror


def _close(mirror: Mirror, order: Close, signals: StopSignals) -> None:
    with suppress(Interrupted):
        mirror.close(order.status, order.wait, may_be_left=lambda: signals.hear(True))
        signals.hear(False)


class Lines(logging.Handler):
    """Writes each record as one line of JSON."""

    def __init__(self, said: TextIO) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        _say([record.name, record.levelno, record.getMessage()], self._said)

"""What the process beside training does: it mirrors one run after the other, as orders on stdin say.

It writes a line of JSON for each record of its log, `[]` when a run is closed, and whatever libraries print.
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

from patchsets.errors import Interrupted
from patchsets.run_log import quieten
from patchsets.stopping import StopSignals
from patchsets.tracking.mirror import Mirror
from patchsets.tracking.tracker import RunDescription, Tracker

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


def parse(line: bytes) -> list[Any] | None:
    """Read a line it wrote: [logger, level, text], [] when a run is closed, None for what libraries print."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, list) and len(said) in (0, 3) else None


def main() -> None:
    """Follow orders until there are none."""
    os.nice(NICENESS)
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    logging.basicConfig(handlers=[Lines(said)], level=logging.INFO)
    quieten()
    with StopSignals() as signals:
        signals.hear(False)
        while order := _next(sys.stdin.buffer):
            if isinstance(order, Begin):
                mirror = _begin(order)
            else:
                _close(mirror, order, signals)
                print("[]", file=said, flush=True)
    os._exit(0)  # a tracker that hangs must not hold it


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
        """Write the record; nobody may be left to read it."""
        with suppress(OSError):
            line = json.dumps([record.name, record.levelno, record.getMessage()])
            print(line, file=self._said, flush=True)

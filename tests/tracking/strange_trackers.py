"""Trackers that the process beside training loads by their names."""

import os
import threading
import time
from pathlib import Path

from workbench.run.metrics_file import Row
from workbench.tracking.tracker import RunDescription


class Telling:
    """Writes into the run folder what it is given, which process it is, and what its environment says."""

    name = "telling"

    def start(self, run: RunDescription, key: str) -> str:
        self._file = run.folder / "told.txt"
        self._file.write_text(f"{os.getpid()} {os.environ.get('PLANTED')}\n")
        print("what a library prints")
        return ""

    def scalars(self, rows: list[Row]) -> None:
        with self._file.open("a") as file:
            file.writelines(f"{row.value}\n" for row in rows)

    def figure(self, name: str, path: Path) -> None: ...

    def finish(self, status: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{status}\n")


class Locked(Telling):
    """Holds what cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Slow(Telling):
    """Takes a minute for whatever it is given."""

    name = "slow"

    def scalars(self, rows: list[Row]) -> None:
        time.sleep(60)


class Printing(Telling):
    """Prints what looks like the end of a run before it ends, then leaves a line unfinished."""

    name = "printing"

    def scalars(self, rows: list[Row]) -> None:
        print("[]\n[1, 2, 3]", flush=True)
        super().scalars(rows)

    def finish(self, status: str) -> None:
        super().finish(status)
        print("sent 100 %", end="", flush=True)

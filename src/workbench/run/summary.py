"""summary.json: how a run ended; and the lock of its folder, held while its process lives."""

import json
import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.common.errors import ConfigError, UserError
from workbench.common.files import is_held, read_json, write_json
from workbench.common.redaction import redact
from workbench.run.starts import end_start, settle_starts

WHOLE = ("finished", "pruned")  # ways in which a run ends as it should


def read_summary(folder: Path) -> dict[str, Any]:
    """Read a run's summary; empty where the run never began or the file is damaged."""
    return read_json(folder / "summary.json") or {}


def status(folder: Path) -> str:
    """Return running, finished, failed or interrupted; dead for a run that was killed without a word."""
    said = str(read_summary(folder).get("status", "unknown"))
    return "dead" if said == "running" and not is_held(folder / ".lock") else said


def take_lock(folder: Path) -> FileLock:
    """Keep other processes from writing into a run folder; raise ConfigError where one does."""
    lock = FileLock(folder / ".lock", blocking=False)  # the kernel releases it however the process ends
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"{folder} is still being written by a living run; stop that one first") from None
    except OSError:
        if (folder / ".lock").is_symlink():
            raise ConfigError(f"{folder}/.lock is a link, which no run makes; remove it") from None
        raise
    return lock


class Recording:
    """Holds a run folder for one process: the lock that dies with it, and the summary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = take_lock(folder)
        self._summary: dict[str, Any] = {}
        self._since = round(time.time(), 3)

    def begin(self) -> None:
        """Say that the run is running; of an earlier start its metrics stay, until there are newer ones."""
        earlier = read_summary(self.folder)
        settle_starts(self.folder, earlier)
        kept = {name: earlier[name] for name in ("started", "metrics") if name in earlier}
        self._summary = {"status": "running", "started": self._since, "process": os.getpid()} | kept
        self._write()

    @property
    def started(self) -> float:
        """Unix time of the run's first start."""
        return float(read_summary(self.folder).get("started", self._since))

    def write_end(self, ended_as: str, metrics: dict[str, float], error: str | None) -> None:
        """Write how the run ended."""
        self._summary |= {"status": ended_as, "ended": round(time.time(), 3)}
        self._summary["metrics"] = metrics or self._summary.get("metrics", {})
        self._summary["seconds"] = round(end_start(self.folder, self._since), 3)
        if error:
            self._summary["error"] = redact(error)
        try:
            self._write()
        except OSError:
            if ended_as == "finished":
                raise  # else what ended the run is told, most likely of the same disk

    def give_up(self, error: UserError) -> None:
        """End the process at once, where it cannot end as usual."""
        self.write_end("failed", {}, str(error))
        os._exit(error.tell())

    def release(self) -> None:
        """Let go of the folder."""
        self._lock.release()

    def _write(self) -> None:
        path = self.folder / "summary.json"
        try:
            write_json(path, self._summary)
        except OSError:
            if not path.is_file():
                raise
            with path.open("r+", encoding="utf-8") as file:  # its own block is all a full disk has left
                file.write(json.dumps(self._summary))
                file.truncate()

"""Who runs a trial, and whether they still live: by a lock in the sweep's folder, else by a heartbeat."""

import os
import platform
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from filelock import FileLock

from workbench.common.files import is_held

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

KEY = "worker"  # of a trial's user attributes
BEAT_EVERY = 20.0  # seconds
DEAD_AFTER = 120.0  # seconds without a beat; the clocks of the machines may differ by some


class Worker:
    """This process, as the other workers of a study see it; its lock dies with it, however it dies."""

    def __init__(self, study: "Study", folder: Path, beats: bool) -> None:
        self.name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._study, self._folder, self._beats = study, folder, beats
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Worker":
        self._lock = FileLock(_lock_file(self._folder, self.name))
        self._lock.acquire()
        if self._beats:
            self._study.set_user_attr(self.name, time.time())
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._lock.release()
        _lock_file(self._folder, self.name).unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_EVERY):
            try:
                self._study.set_user_attr(self.name, time.time())
            except Exception:  # the database is away for now; the next beat may find it again
                continue

    def is_gone(self, trial: "FrozenTrial") -> bool:
        """Tell whether the worker of a running trial has died."""
        name = trial.user_attrs.get(KEY)
        if name is None:  # asked for a moment ago, or by a worker that died at that moment
            return trial.datetime_start is not None and _age(trial.datetime_start.timestamp()) > DEAD_AFTER
        lock = _lock_file(self._folder, name)
        if lock.is_file():
            return not is_held(lock)
        beat = self._study.user_attrs.get(name)
        return beat is None or _age(beat) > DEAD_AFTER


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f".worker-{name}.lock"


def _age(then: float) -> float:
    return time.time() - then

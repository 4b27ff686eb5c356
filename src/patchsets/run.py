"""The run folder: made once, locked while its run lives, with a summary that says how the run ended.

outputs/<experiment_name>/<date>_<time>_<id>/
    config.yaml  overrides.yaml  environment.json  uncommitted.diff  data.json     what was run, on what
    train.log  metrics.csv  figures/*.png  checkpoints/best.ckpt  last.ckpt        what came out
    summary.json                                                                   status and final metrics
"""

import fcntl
import json
import os
import secrets
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from patchsets.atomic import appearing_whole
from patchsets.errors import ConfigError, UserError
from patchsets.secrets import redact
from patchsets.workspace import ROOT


def new_folder(outputs: Path, experiment_name: str) -> Path:
    """Make `<outputs>/<experiment_name>/<date>_<time>_<id>`; the id makes two runs of one second differ."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"
    folder = outputs / experiment_name / name
    try:
        folder.mkdir(parents=True)
        _point_latest_at(folder)
    except OSError as error:
        raise ConfigError(f"outputs: {folder} cannot be made: {error.strerror}") from error
    return folder


def _point_latest_at(folder: Path) -> None:
    temporary = folder.parent / f".latest-{folder.name}"
    temporary.symlink_to(folder.name)
    temporary.replace(folder.parent / "latest")


def is_run_folder(folder: Path) -> bool:
    """Tell a run folder by the configuration it was started with."""
    return (folder / "config.yaml").is_file()


def find_folder(name: str, key: str) -> Path:
    """Return the run folder a user named, relative to where they are or to the workspace.

    Raises ConfigError where it is no run folder.
    """
    for candidate in (Path(name).expanduser(), ROOT / name):
        if is_run_folder(candidate):
            return candidate.resolve()
    raise ConfigError(f"{key}: {name} is not a run folder: it has no config.yaml")


def weights_file(folder: Path) -> Path:
    """Return the checkpoint with a run's weights, by preference the best; ConfigError where it has none."""
    found = [folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise ConfigError(f"{folder}: this run has no checkpoint to take weights from")
    return path


def load_config(folder: Path) -> DictConfig:
    """Read the configuration a run was started with, interpolations intact.

    Raises ConfigError where it is damaged.
    """
    path = folder / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigError(f"{path}: it cannot be read ({type(error).__name__}); is it damaged?") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{path}: it holds no configuration; is it damaged?")
    return config


def read_summary(folder: Path) -> dict[str, Any]:
    """Read a run's summary; empty where the run never began or the file is damaged."""
    return read_json(folder / "summary.json") or {}


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a mapping from JSON; None where there is no file, or one that is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    with appearing_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def status(folder: Path) -> str:
    """Return running, finished, failed or interrupted; dead for a run that was killed without a word."""
    said = str(read_summary(folder).get("status", "unknown"))
    return "dead" if said == "running" and not is_held(folder / ".lock") else said


def is_held(path: Path) -> bool:
    """Tell whether a living process has locked the file."""
    try:
        with path.open() as lock:  # to read: the folder may lie on a disk that cannot be written
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def take_lock(folder: Path) -> IO[str]:
    """Keep other processes from writing into a run folder; raise ConfigError where one does."""
    lock = (folder / ".lock").open("w")  # the kernel lets go of it however the process ends
    os.register_at_fork(after_in_child=lock.close)  # a data worker may outlive a killed run for seconds
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"{folder} is still being written by a living run; stop that one first") from None
    return lock


def release_lock(lock: IO[str]) -> None:
    """Let go of a run folder; to close the file is not enough: a forked worker may have it open."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    lock.close()


class Recording:
    """Holds a run folder for one process: the lock that dies with it, and the summary."""

    def __init__(self, folder: Path, resumed: bool) -> None:
        self.folder = folder
        self.resumed = resumed
        self._lock = take_lock(folder)
        earlier = read_summary(folder) if resumed else {}
        started = earlier.get("started", round(time.time(), 3))
        self._summary: dict[str, Any] = {"status": "running", "started": started, "process": os.getpid()}
        self._write()

    @property
    def started(self) -> float:
        """Unix time of the run's first start."""
        return float(self._summary["started"])

    def write_end(self, ended_as: str, metrics: dict[str, float], error: str | None) -> None:
        """Write how the run ended."""
        self._summary |= {"status": ended_as, "ended": round(time.time(), 3), "metrics": metrics}
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
        release_lock(self._lock)

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

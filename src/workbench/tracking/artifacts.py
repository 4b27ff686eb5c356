"""The files of a run folder that a tracker may have, secrets blanked.

trackers.json of a run folder: how much of the run each tracker has taken.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from workbench.common.files import write_json
from workbench.common.redaction import redact
from workbench.run.snapshot import CODE, LOCK
from workbench.run.summary import read_summary
from workbench.run.trial import is_trial

APART = ("tensorboard", "csv", "model")  # other trackers' files, and what is logged as a model
LEFT_OUT = ("trackers.json", "checkpoints/last.ckpt")  # the last checkpoint is for resuming, here


def artifacts(folder: Path, pattern: str = "*") -> Iterator[tuple[Path, str]]:
    """Give each file worth keeping with the folder it belongs to, relative to the run folder ("" at its top).

    A text that holds a secret is given as a blanked copy, which lives until the next file is asked for.
    """
    for path in sorted(folder.rglob(pattern)):
        relative = path.relative_to(folder)
        if _is_within(path, folder) and _is_kept(relative) and not _is_of_a_trial(folder, relative):
            parent = "" if relative.parent == Path() else relative.parent.as_posix()
            with TemporaryDirectory() as copies:
                yield _without_secrets(path, Path(copies)), parent


def _is_within(path: Path, folder: Path) -> bool:
    """Tell a file of the folder from a link to one elsewhere, which is not the run's to send."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _is_kept(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    if relative.parts[0] == "starts" and relative.name in (CODE, LOCK):  # the last ones lie above them
        return False
    return not hidden and relative.parts[0] not in APART and relative.as_posix() not in LEFT_OUT


def _is_of_a_trial(folder: Path, relative: Path) -> bool:
    """Tell whether a file of a sweep's folder is in a run folder, which is a run of its own."""
    return is_trial(folder / relative.parts[0])


def _without_secrets(path: Path, copies: Path) -> Path:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # a picture, a checkpoint
        return path
    blanked = redact(text)
    if blanked == text:
        return path
    copy = copies / path.name
    copy.write_text(blanked, encoding="utf-8")
    return copy


@dataclass
class Taken:
    """What one tracker has: its id of the run, bytes of metrics.csv, and the figures by time and size.

    `where` is the store it has them in, `finished` how it knows that the run ended ("" as long as it runs).
    """

    id: str = ""
    where: str = ""
    finished: str = ""
    offset: int = 0
    figures: dict[str, list[int]] = field(default_factory=dict)


class Acknowledged:
    """trackers.json, replaced whenever a tracker has taken more; its key belongs to this run alone.

    The key follows from the run's name and start: where trackers.json is lost, its runs are found again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trackers.json"
        self._lock = threading.Lock()
        self.key = uuid.uuid5(uuid.NAMESPACE_OID, f"{folder.resolve().name} {_started(folder)}").hex
        self._taken: dict[str, Taken] = {}
        with suppress(OSError, ValueError, TypeError, KeyError):  # absent, or damaged: all is sent anew
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self.key = content["key"]
            self._taken = {name: Taken(**taken) for name, taken in content["trackers"].items()}
        self._write()

    def by(self, tracker: str, where: str = "") -> Taken:
        """Return what a tracker has taken so far into the store `where`."""
        taken = self._taken.get(tracker)
        return taken if taken is not None and taken.where == where else Taken(where=where)

    def save(self, tracker: str, taken: Taken) -> None:
        """Write what a tracker has taken; a reader sees the old file or the new one."""
        with self._lock:
            self._taken[tracker] = taken
            self._write()

    def _write(self) -> None:
        content = {"key": self.key, "trackers": {name: asdict(taken) for name, taken in self._taken.items()}}
        with FileLock(self._path.with_name(".trackers.lock")):  # a sweep has several workers
            write_json(self._path, content)


def _started(folder: Path) -> float:
    return float(read_summary(folder).get("started", 0.0))

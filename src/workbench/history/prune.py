"""What may go from run folders to make room: checkpoints that are not the best, debug runs, dead runs.

A run that was interrupted or failed keeps its checkpoints, with which it can go on. Nothing outside of a run
folder is touched, and no link is followed.
"""

import math
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.common.errors import ConfigError
from workbench.common.files import is_held, size_of
from workbench.history.record import RunRecord
from workbench.run.folder import drop_latest
from workbench.run.metrics_file import goal_of
from workbench.run.starts import environment_of, starts
from workbench.run.summary import WHOLE, status, take_lock
from workbench.run.trial import RESULTS, best_values, is_trial

OWN = "patchsets."  # tasks whose class may be asked for its metric: importing another's would run its code


@dataclass(frozen=True)
class Waste:
    """What may go of a run: all of its folder, or its checkpoints; `size` is in bytes."""

    run: RunRecord
    is_all: bool
    why: str
    size: int

    @property
    def what(self) -> str:
        """What goes, in a word."""
        return "the run" if self.is_all else "checkpoints"


def find_waste(records: Sequence[RunRecord]) -> list[Waste]:
    """Return what may go, of all the runs there are: which are best depends on the others."""
    best = _best(records)
    return [waste for record in records if (waste := _waste_of(record, best)) is not None]


def remove(waste: Waste) -> bool:
    """Remove what may go; False where somebody writes into the run by now."""
    folder = waste.run.folder
    try:
        lock = take_lock(folder)
    except ConfigError:
        return False
    try:
        if not waste.is_all:
            for path in _checkpoints(folder):
                path.unlink()
            return True
        shutil.rmtree(folder)
        drop_latest(folder)
        return True
    finally:
        lock.release()


def _waste_of(record: RunRecord, best: set[Path]) -> Waste | None:
    folder, ended = record.folder, status(record.folder)
    if not (folder / ".lock").is_file() or folder.is_symlink() or ended == "running" or _sweep_lives(folder):
        return None
    if record.get("debug") is True:
        return Waste(record, True, "a debug run", size_of(folder))
    if ended == "dead":
        if environment_of(starts(folder)[-1]).get("host", platform.node()) != platform.node():
            return None  # its machine may run it still: locks of another are not always seen
        return Waste(record, True, "dead: it was killed, and could go on only by resume=", size_of(folder))
    checkpoints = list(_checkpoints(folder))
    if folder in best or ended not in WHOLE or not checkpoints:
        return None
    why = f"not the best of {record.get('experiment_name')}"
    return Waste(record, False, why, sum(path.stat().st_size for path in checkpoints))


def _checkpoints(folder: Path) -> Iterator[Path]:
    place = folder / "checkpoints"
    if place.is_symlink() or not place.is_dir():
        return
    with os.scandir(place) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    yield from (Path(file.path) for file in files if file.name.endswith(".ckpt"))


def _sweep_lives(folder: Path) -> bool:
    return is_trial(folder) and any(is_held(lock) for lock in folder.parent.glob(".worker-*.lock"))


def _best(records: Sequence[RunRecord]) -> set[Path]:
    """Return the best of the whole runs of each experiment, task and data, and the best of each sweep.

    What chose a run's best epoch compares it with others; where none has a value, all count as best.
    """
    groups: dict[tuple[Any, ...], list[tuple[float, Path]]] = {}
    for record in records:
        if record.get("debug") is True or record.get("status") not in WHOLE:
            continue
        monitor, mode = _goal(record)
        keep = str(record.get("hparams.keep") or "best")
        key = (record.get("experiment_name"), record.get("task"), record.get("data"), monitor, mode)
        groups.setdefault(key, []).append((_value(record.folder, monitor, mode, keep), record.folder))
    found = set[Path]()
    for values in groups.values():
        smallest = min(value for value, _ in values)
        found |= {folder for value, folder in values if value == smallest}
    sweeps = {record.folder.parent for record in records if is_trial(record.folder)}
    return found | {sweep / name for sweep in sweeps for name in _best_of_sweep(sweep)}


def _value(folder: Path, monitor: str, mode: str, keep: str) -> float:
    """Return what the kept epoch reached, the smaller the better; infinity where it has no value."""
    try:
        value = best_values(folder, monitor, mode, [monitor], keep)[0]
    except (LookupError, OSError):
        return math.inf
    return math.inf if math.isnan(value) else value if mode == "min" else -value


def _goal(record: RunRecord) -> tuple[str, str]:
    """Return the metric that chose the run's best epoch, and min or max."""
    from hydra.utils import get_class  # its import takes longer than listing runs does

    task: Any = None
    target = str(record.get("task._target_"))
    if target.startswith(OWN):
        with suppress(Exception):  # a task that is gone, or cannot be imported here
            task = get_class(target)
    return goal_of(task, *(record.get(f"task.{key}") or None for key in ("monitor", "monitor_mode")))


def _best_of_sweep(sweep: Path) -> list[str]:
    """Return the names of the trials that a sweep's results call best."""
    try:
        best = (yaml.load((sweep / RESULTS).read_text(encoding="utf-8"), yaml.CSafeLoader) or {})["best"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []
    found = best if isinstance(best, list) else [best]
    return [str(name) for one in found for name in one.get("trials", [one.get("trial")])]

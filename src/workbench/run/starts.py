"""The starts of a run, each with a record of its own: what it was asked for, with what it ran, and when.

starts/<n>/  config.yaml  overrides.yaml  environment.json  uncommitted.diff  code.zip  lock.txt  times.json
"""

import shutil
import time
from pathlib import Path
from typing import Any

from workbench.common.files import read_json, write_json

RECORD = ("overrides.yaml", "environment.json", "uncommitted.diff")
SIGNS = ("metrics.csv", "train.log")  # files whose time tells when a killed start was last alive


def starts(folder: Path) -> list[Path]:
    """Return the record of each start, the first one first; version 0.1 kept one, in the run folder."""
    numbered = [path for path in folder.glob("starts/*") if path.name.isdigit()]
    return sorted(numbered, key=lambda path: int(path.name)) or [folder]


def words_of(start: Path) -> list[str]:
    """Return the words that a start was given; none where it keeps none."""
    import yaml  # which src/repeat.py does without

    try:
        kept = yaml.load((start / "overrides.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return []
    return [str(word) for word in kept] if isinstance(kept, list) else []


def environment_of(start: Path) -> dict[str, Any]:
    """Return command, commit, packages and hardware of a start; empty where it keeps none."""
    return read_json(start / "environment.json") or {}


def settle_starts(folder: Path, summary: dict[str, Any]) -> None:
    """Complete the records of earlier starts before one more: version 0.1 had no folder for its own.

    A start that was killed ended when it last wrote; `summary` is the run's before the new start.
    """
    last = starts(folder)[-1]
    if last == folder and (folder / "config.yaml").is_file():
        last = _move_record(folder, summary)
    times = read_json(last / "times.json") or {}
    if "started" in times and "ended" not in times:
        signs = [path.stat().st_mtime for name in SIGNS if (path := folder / name).is_file()]
        times["ended"] = round(max([*signs, times["started"]]), 3)
        write_json(last / "times.json", times)


def _move_record(folder: Path, summary: dict[str, Any]) -> Path:
    new, first = new_start(folder)
    shutil.copy(folder / "config.yaml", new)
    for path in (folder / name for name in RECORD):
        if path.is_file():
            shutil.copy(path, new)
    write_json(new / "times.json", {key: summary[key] for key in ("started", "ended") if key in summary})
    new.rename(first)
    for name in RECORD:
        (folder / name).unlink(missing_ok=True)
    return first


def new_start(folder: Path) -> tuple[Path, Path]:
    """Return a hidden folder, made, for the record of one more start, and the name it gets once whole."""
    last = starts(folder)[-1]
    final = folder / "starts" / ("1" if last == folder else str(int(last.name) + 1))
    new = final.with_name(f".{final.name}.new")
    new.mkdir(parents=True, exist_ok=True)
    return new, final


def end_start(folder: Path, since: float) -> float:
    """Write that the last start, which began at `since`, ends now; return the seconds of all starts."""
    now = round(time.time(), 3)
    records = [start / "times.json" for start in starts(folder)]
    times = [read_json(path) or {} for path in records]
    if "ended" not in times[-1] and "started" in times[-1]:  # else the start ends before it has a record
        write_json(records[-1], times.pop() | {"ended": now})
    whole = [one for one in times if {"started", "ended"} <= one.keys()]
    return now - since + sum(one["ended"] - one["started"] for one in whole)

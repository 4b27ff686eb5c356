"""Runs as their folders tell them, under the names that one types to train.py."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from workbench.common.errors import ConfigError, DataError
from workbench.common.table import printable
from workbench.common.workspace import ROOT, typed
from workbench.run.folder import find_folder, is_mlflow_copy, is_run_folder
from workbench.run.metrics_file import read_metrics
from workbench.run.starts import starts, words_of
from workbench.run.summary import read_summary, status
from workbench.run.trial import choice, is_sweep, is_trial

FACTS = ("run", "experiment_name", "status", "started", "seconds", "starts", "note", "task", "data", "model")


@dataclass(frozen=True)
class RunRecord:
    """A run: its folder, its name, and flat values such as `hparams.width`, `tags.author`, `test/loss`."""

    folder: Path
    name: str
    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]
    _latest: dict[str, float] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """Return a value by its name; None where the run has none. `val/...` and the like: the last one."""
        for values in (self.facts, self.config, self.metrics):
            if key in values:
                return values[key]
        return self.logged().get(key) if "/" in key else None

    def names(self) -> list[str]:
        """Return every name that `get` finds, but those of values along the way, which `logged` has."""
        return [*self.facts, *self.config, *self.metrics]

    def logged(self) -> dict[str, float]:
        """Return the last value of everything the run logged; read when it is first asked for."""
        if not self._latest:
            self._latest.update({row.name: row.value for row in read_metrics(self.folder)})
        return self._latest


def read_run(folder: Path) -> RunRecord:
    """Read a run folder; raise DataError, with the reason, where it is damaged.

    A run is called like its folder, a trial `<sweep>/<number>`.
    """
    config = _read_yaml(folder / "config.yaml", dict)
    summary = read_summary(folder)
    if "started" not in summary:
        raise DataError("its summary.json is missing or damaged")
    begun = starts(folder)
    flat = dict(_flat(config, ""))
    flat |= _given_otherwise(begun, flat)
    overrides = [word for start in begun for word in words_of(start)]
    name = f"{folder.parent.name}/{folder.name}" if is_trial(folder) else folder.name
    facts = {
        "run": name,
        "experiment_name": config.get("experiment_name"),
        "status": status(folder),
        "started": f"{datetime.fromtimestamp(summary['started']):%Y-%m-%d %H:%M:%S}",
        "seconds": _seconds(summary),
        "starts": len(begun),
        "note": config.get("note") or "",
        **{group: choice(group, config.get(group), overrides) for group in FACTS[-3:]},
    }
    return RunRecord(folder, name, facts, flat, dict(summary.get("metrics") or {}))


def _seconds(summary: Mapping[str, Any]) -> int | None:
    """Return the seconds that all starts of a run took; version 0.1 did not add them up."""
    if "ended" not in summary:
        return None
    return round(summary.get("seconds", summary["ended"] - summary["started"]))


def _given_otherwise(begun: Sequence[Path], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return as `start<n>/<key>` what the n-th of several starts was given otherwise than the last."""
    found = {}
    for number, start in enumerate(begun[:-1], 1):
        for key, value in _flat(_read_yaml(start / "config.yaml", dict), ""):
            if key != "resume" and flat.get(key) != value:
                found[f"start{number}/{key}"] = value
    return found


def _read_yaml(path: Path, kind: type) -> Any:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"its {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, kind):
        raise DataError(f"its {path.name} is not what train.py writes")
    return content


def _flat(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


NAMED = 3  # of the folders that are left out


def places(outputs: str | None) -> list[Path]:
    """Return where runs are: the folder one names, else the workspace's outputs/ and multirun/.

    Raises ConfigError where there is none.
    """
    if outputs is None:
        return [ROOT / "outputs", ROOT / "multirun"]
    folder = Path(outputs).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"outputs: there is no folder {outputs}")
    return [folder.absolute()]


def read_runs(roots: Sequence[Path]) -> list[RunRecord]:
    """Read all runs, the newest first; say in one line on stderr which folders were left out."""
    records, left_out = [], []
    for root in roots:
        for folder in _leaves(root):
            try:
                if not is_run_folder(folder):
                    raise DataError("it has no config.yaml")
                records.append(read_run(folder))
            except DataError as reason:
                left_out.append(f"{typed(folder)} ({reason})")
    _tell(left_out)
    return sorted(records, key=lambda record: (record.get("started"), record.name), reverse=True)


def _leaves(folder: Path) -> Iterator[Path]:
    """Give the run folders below a folder, and those with files of which nothing below is a run."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return
    own = {"figures"} if is_sweep(folder) else set[str]()
    below = sorted(e.path for e in entries if e.is_dir(follow_symlinks=False) and e.name not in own)
    if is_run_folder(folder):
        if not is_mlflow_copy(folder):
            yield folder
        return
    found = [leaf for path in below for leaf in _leaves(Path(path))]
    if found:
        yield from found
    elif any(entry.is_file() for entry in entries):
        yield folder


def _tell(left_out: Sequence[str]) -> None:
    if left_out:
        more = f", and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        print(printable(f"left out: {', '.join(left_out[:NAMED])}{more}"), file=sys.stderr)


def find_run(word: str, outputs: Sequence[Path]) -> RunRecord:
    """Return the run that a word names; ConfigError where there is none, or it is damaged."""
    try:
        return read_run(find_folder(word, "diff", outputs))
    except DataError as reason:
        raise ConfigError(f"{word}: {reason}") from None

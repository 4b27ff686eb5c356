"""Every run below some folders, and in one line what was no run."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.common.errors import ConfigError, DataError
from workbench.common.workspace import ROOT, typed
from workbench.history.record import RunRecord, read_run
from workbench.run.folder import find_folder, is_mlflow_copy, is_run_folder
from workbench.run.trial import is_sweep

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
        print(f"left out: {', '.join(left_out[:NAMED])}{more}", file=sys.stderr)


def find_run(word: str, outputs: Sequence[Path]) -> RunRecord:
    """Return the run that a word names; ConfigError where there is none, or it is damaged."""
    try:
        return read_run(find_folder(word, "diff", outputs))
    except DataError as reason:
        raise ConfigError(f"{word}: {reason}") from None

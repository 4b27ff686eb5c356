"""The run folder: made once, locked while its run lives, with a summary that says how the run ended.

outputs/<experiment_name>/<date>_<time>_<id>/
    config.yaml  data.json  starts/<n>/                                            what was run, on what
    train.log  metrics.csv  figures/*.png  checkpoints/best.ckpt  last.ckpt        what came out
    summary.json                                                                   status and final metrics
"""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from workbench.common.errors import ConfigError, storage_trouble
from workbench.common.files import read_json
from workbench.common.workspace import ROOT
from workbench.run.summary import read_summary

DATED = r"\d{4}-\d\d-\d\d_"  # how a run's name begins
OUTPUTS = (ROOT / "outputs", ROOT / "multirun")
NAMED = 3  # of the runs that one word could mean


def name_folder(outputs: Path, experiment_name: str) -> Path:
    """Return `<outputs>/<experiment_name>/<date>_<time>_<id>`; the id makes two runs of one second differ."""
    return outputs / experiment_name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


def make_folder(folder: Path) -> bool:
    """Make a run folder; False where another run was faster.

    Raises ConfigError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise ConfigError(f"outputs: {folder} cannot be made: a file is in its place") from None
    except OSError as error:
        raise ConfigError(f"outputs: {folder} cannot be made: {storage_trouble(error, folder)}") from error
    return True


def point_latest_at(folder: Path) -> None:
    """Let `latest/<experiment>` beside outputs/ point at a run with a checkpoint, unless at a newer one.

    Within outputs/ TensorBoard would follow it. Where it cannot be written, the run goes on without it.
    """
    experiment = folder.absolute().parent
    link = experiment.parent.parent / "latest" / experiment.name
    earlier = link.resolve()
    is_newer = earlier.parent == experiment.resolve() and earlier.name > folder.name
    if is_newer or not re.match(DATED, folder.name):  # a trial has no such name
        return
    with suppress(OSError):
        link.parent.mkdir(exist_ok=True)
        temporary = link.with_name(f".{link.name}-{folder.name}")
        temporary.symlink_to(os.path.relpath(folder.absolute(), link.parent))
        temporary.replace(link)
        if (experiment / "latest").is_symlink():  # of version 0.1
            (experiment / "latest").unlink()


def drop_latest(folder: Path) -> None:
    """Remove the link to a run folder that is gone; version 0.1 had it within outputs/."""
    experiment = folder.absolute().parent
    for link in (experiment.parent.parent / "latest" / experiment.name, experiment / "latest"):
        if link.is_symlink() and not link.exists():
            link.unlink()


def is_run_folder(folder: Path) -> bool:
    """Tell a run folder by the configuration it was started with."""
    return (folder / "config.yaml").is_file()


def refuse_links(folder: Path) -> None:
    """Raise ConfigError for a link in a run folder that leads out of it: what it names is not the run's."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise ConfigError(
                f"{path} is a link that leads out of the run folder; remove it, or put there what it names"
            )


def find_folder(name: str, key: str, outputs: Sequence[Path] = OUTPUTS) -> Path:
    """Return the run folder that a person named, by the one rule of all commands (`find_folders`).

    Raises ConfigError where there is none, or several.
    """
    return the_only(find_folders(name, outputs), name, key)


def the_only(found: Sequence[Path], name: str, key: str) -> Path:
    """Return what `find_folders` found for a name; ConfigError unless that is one run folder."""
    if len(found) > 1:
        shown = ", ".join(folder.name for folder in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
        raise ConfigError(f"{key}: {len(found)} runs are called {name}: {shown}; write more of the name")
    if not found:
        raise ConfigError(
            f"{key}: {name} is not a run folder (it has no config.yaml), nor the end of a run's name; "
            "python src/runs.py lists them"
        )
    return found[0].resolve()


def find_folders(name: str, outputs: Sequence[Path] = OUTPUTS) -> list[Path]:
    """Return the run folders that a name can mean.

    1. A folder, relative to where a person is or to the workspace.
    2. `mlflow:<run id>`: the run that was sent there.
    3. `latest`: the newest of all that has a checkpoint; `outputs/<experiment>/latest`: of that experiment.
    4. The end of a run's name, such as `5e8b`; of a trial `<sweep>/<number>`.
    """
    candidates = (Path(name).expanduser(), ROOT / name)
    for candidate in candidates:
        if is_run_folder(candidate):
            return [candidate]
    if candidates[0].name == "latest":
        return _newest(outputs if name == "latest" else [candidate.parent for candidate in candidates])
    known = [folder for root in outputs for folder in run_folders(root)]
    if name.startswith("mlflow:"):
        return [folder for folder in known if mlflow_id(folder) == name.removeprefix("mlflow:")]
    return [folder for folder in known if name and folder.as_posix().endswith(name.rstrip("/"))]


def _newest(roots: Sequence[Path]) -> list[Path]:
    known = [folder for root in roots for folder in run_folders(root) if _weights_files(folder)]
    return [max(known, key=lambda folder: float(read_summary(folder).get("started", 0)))] if known else []


def run_folders(root: Path) -> Iterator[Path]:
    """Give the run folders below a folder, trials too, but not the copies that MLflow keeps of them."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries}
    if "config.yaml" in names:
        if not is_mlflow_copy(root):
            yield root
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from run_folders(Path(entry.path))


def is_mlflow_copy(folder: Path) -> bool:
    """Tell the files of a run that MLflow keeps in its own store from a run folder, which has a lock."""
    return folder.name == "artifacts" and not (folder / ".lock").exists()


def mlflow_id(folder: Path) -> str:
    """Return the id under which MLflow keeps a run; empty where it was not sent there."""
    trackers = (read_json(folder / "trackers.json") or {}).get("trackers", {})
    return str(trackers.get("mlflow", {}).get("id", ""))


def weights_file(folder: Path) -> Path:
    """Return the checkpoint with a run's weights, by preference the best; ConfigError where it has none."""
    found = _weights_files(folder)
    if not found:
        raise ConfigError(f"{folder}: this run has no checkpoint to take weights from")
    return found[0]


def _weights_files(folder: Path) -> list[Path]:
    files = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    return [path for path in files if path.is_file()]


def fingerprint_of(folder: Path) -> str | None:
    """Return the hash of a run's training data, once they were read; it stands for all of data.json."""
    train = (read_json(folder / "data.json") or {}).get("train")
    return train.get("sha256") if isinstance(train, dict) else None

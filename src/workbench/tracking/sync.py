"""Sends what run folders hold and their trackers lack; what was sent already is not sent again."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError, UserError, nearest
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT, options, typed
from workbench.config.strangers import admit, read_stranger
from workbench.run.folder import find_folder, is_run_folder, refuse_links, run_folders
from workbench.run.summary import read_summary, status, take_lock
from workbench.tracking.artifacts import Acknowledged
from workbench.tracking.tracker import Tracker
from workbench.tracking.trackers import build_trackers, describe
from workbench.tracking.uploader import Feed

ENDS = {"dead": "interrupted", "unknown": "failed"}  # how a tracker is told of a run that could not say it


def sync(words: Sequence[str]) -> bool:
    """Send the runs that words of a command line name; tell whether every tracker has everything now."""
    _check_words(words)
    chosen = [word.removeprefix("loggers=") for word in words if word.startswith("loggers=")]
    places = [word.removeprefix("run=") for word in words if not word.startswith("loggers=")]
    loggers = _read_loggers(chosen[-1]) if chosen else None
    if not places or not all(places):
        raise ConfigError("run: name a run folder, or a folder of them such as outputs")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    folders = list(dict.fromkeys(folder for place in places for folder in _runs_in(place)))
    missed = [folder for folder in folders if not _sync_and_tell(folder, loggers)]
    return not missed


def _check_words(words: Sequence[str]) -> None:
    for word in words:
        key, sign, _ = word.partition("=")
        if sign and key not in ("run", "loggers") and "/" not in key:
            raise ConfigError(f"{key}: there is run= and loggers={nearest(key, ('run', 'loggers'))}")


def _runs_in(place: str) -> Iterator[Path]:
    """Give the run folder that a word names, or all below it."""
    root = next((path for path in (Path(place).expanduser(), ROOT / place) if path.is_dir()), None)
    if root is None or is_run_folder(root):
        yield find_folder(place, "run")
        return
    found = list(run_folders(root))
    if not found:
        raise ConfigError(f"run: {place} is no run folder, and there is none in it")
    yield from (folder.resolve() for folder in found)


def _read_loggers(word: str) -> DictConfig:
    """Read what `loggers=` names, as the command line of train.py would."""
    merged = OmegaConf.create()
    for name in word.strip("[]").split(","):
        path = ROOT / "config" / "loggers" / f"{name.strip()}.yaml"
        if not path.is_file():
            known = options("loggers")
            close = nearest(name, known) or f"; there is {', '.join(known)}"
            raise ConfigError(f"loggers: there is no {name}{close}")
        merged.merge_with(OmegaConf.load(path))
    return merged


def _sync_and_tell(folder: Path, loggers: DictConfig | None) -> bool:
    try:
        return _sync_run(folder, loggers)
    except UserError as error:  # a damaged config, say; the others are sent
        error.tell()
        return False


def _sync_run(folder: Path, loggers: DictConfig | None) -> bool:
    """Send one run to each of its trackers; say what each took."""
    if (ended := status(folder)) == "running":
        print(f"{typed(folder)}: it is running, and sends by itself")
        return True
    refuse_links(folder)
    config = read_stranger(folder)
    if loggers is not None:
        config.loggers = loggers
    for name, node in (config.loggers or {}).items():
        admit(node, f"loggers.{name}", Tracker, config.trusted_targets)
    lock = take_lock(folder)
    try:
        started = float(read_summary(folder).get("started", folder.stat().st_mtime))
        run = describe(config, folder, started)
        acknowledged = Acknowledged(folder)
        trackers = build_trackers(config).values()
        if not trackers:
            print(f"{typed(folder)}: it has no tracker; name one, such as loggers=mlflow")
        feeds = [Feed(folder, tracker, run, acknowledged) for tracker in trackers]
        missed = [feed for feed in feeds if not _send(folder, feed, ENDS.get(ended, ended))]
        return not missed
    finally:
        lock.release()


def _send(folder: Path, feed: Feed, ended: str) -> bool:
    name = feed.tracker.name
    if feed.lacks_nothing(ended):
        print(f"{typed(folder)}: {name} has everything")
        return True
    try:
        print(f"{typed(folder)}: {name} took {feed.send_all(ended):,} values and the files")
    except Exception as error:
        lines = redact(f"{type(error).__name__}: {error}").splitlines()
        print(f"{typed(folder)}: {name} takes nothing ({lines[0][:200]}); try again later")
        return False
    return True

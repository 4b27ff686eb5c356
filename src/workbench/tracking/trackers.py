"""The trackers that a configuration names, and what each of them lists about the run."""

import getpass
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError
from omegaconf.resolvers.oc import env

from workbench.common.errors import ConfigError
from workbench.common.workspace import options
from workbench.config.build import build
from workbench.config.strangers import as_written, read_stranger
from workbench.run.folder import is_run_folder
from workbench.run.provenance import workspace_commit
from workbench.run.starts import environment_of, starts, words_of
from workbench.run.trial import CHOICES, choice, read_note
from workbench.tracking.tracker import Plain, RunDescription, Tracker
from workbench.tracking.uploader_process import check_tracker

# Keys that are no parameters of what is learned, or are listed elsewhere.
NOT_LISTED = ("experiment_name", "note", "outputs", "resume", "repeat", "loggers", "debug", *CHOICES)


def build_trackers(config: DictConfig) -> dict[str, Tracker]:
    """Build what mirrors the run, before its folder is made: a wrong address is a mistake like any other."""
    if config.debug:
        return {}
    trusted = list(config.trusted_targets)
    for name, node in (config.loggers or {}).items():
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ConfigError(
                f"loggers.{name}: it names no _target_; choose one of {', '.join(options('loggers'))}"
            )
    trackers = {
        name: build(node, f"loggers.{name}", trusted) for name, node in (config.loggers or {}).items()
    }
    for name, tracker in trackers.items():
        check_tracker(name, tracker)
    return trackers


@dataclass(frozen=True)
class Start:
    """What one start of a run was given."""

    config: DictConfig
    words: list[str]
    commit: str | None


def describe(
    config: DictConfig, folder: Path, started: float, overrides: list[str] | None = None
) -> RunDescription:
    """Return what every tracker lists about the run; with `overrides` one more start of it begins.

    Parameters are those of the first start. What the n-th was given otherwise is `start<n>/<name>`, and the
    tag `start<n>` holds its words: MLflow cannot change a parameter, and both values were in force.
    """
    begun = list(_earlier(folder))
    if overrides is not None or not begun:
        begun.append(Start(config, overrides or [], workspace_commit()))
    note, commit = read_note(folder), begun[0].commit
    who = {"user": getpass.getuser(), **({"commit": commit} if commit else {})}
    return RunDescription(
        folder=folder,
        experiment_name=config.experiment_name,
        run_name=folder.name,
        tags=who | shown_tags(config) | (note.tags if note else {}) | _tags_of(begun),
        hparams=_parameters_of(begun),
        started=started,
        note=str(_shown(config, "note")),
    )


def shown_tags(config: DictConfig) -> dict[str, str]:
    """Return the tags as trackers are given them."""
    return {str(name): str(_shown(config.tags, str(name))) for name in config.tags}


def _shown(config: DictConfig, key: str) -> Any:
    """Return a value, resolved unless that takes the environment, which may hold a secret under any name."""
    OmegaConf.register_new_resolver("oc.env", _refuse, replace=True)
    try:
        return as_written(OmegaConf.select(config, key))
    except InterpolationResolutionError:
        parent, _, name = key.rpartition(".")
        node: Any = OmegaConf.select(config, parent) if parent else config
        raw: Any = OmegaConf.to_container(node, resolve=False)
        return raw.get(name)
    finally:
        OmegaConf.register_new_resolver("oc.env", env, replace=True)


def _refuse(*_: object) -> None:
    raise LookupError


def _earlier(folder: Path) -> Iterator[Start]:
    for start in starts(folder):
        if is_run_folder(start):
            with suppress(ConfigError):  # of a record that is damaged there is nothing to tell
                yield Start(read_stranger(start), words_of(start), environment_of(start).get("commit"))


def _tags_of(begun: Sequence[Start]) -> dict[str, str]:
    found = {}
    for number, start in enumerate(begun[1:], 2):
        words = " ".join(word for word in start.words if not word.startswith("resume="))
        code = f" (commit {start.commit})" if start.commit != begun[0].commit else ""
        found[f"start{number}"] = (words or "no word") + code
    return found


def _parameters_of(begun: Sequence[Start]) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    known: dict[str, Plain] = {}
    typed: list[str] = []
    for number, start in enumerate(begun, 1):
        typed += start.words
        given = _parameters(start.config, typed)
        changed = {name: value for name, value in given.items() if number == 1 or known.get(name) != value}
        found |= {f"start{number}/{name}" if number > 1 else name: value for name, value in changed.items()}
        known = given
    return found


def _parameters(config: DictConfig, typed: Sequence[str]) -> dict[str, Plain]:
    """Return the names of the parts, hyper-parameters, the parts' own keys, and every other key typed."""
    found: dict[str, Any] = {group: choice(group, config[group], typed) for group in CHOICES}
    found |= {str(name): _shown(config.hparams, str(name)) for name in config.hparams}
    found["seed"] = config.seed
    for group in ("task", "data", "model"):
        raw: Any = OmegaConf.to_container(config[group] or OmegaConf.create(), resolve=False)
        for key, value in raw.items():
            if key != "_target_" and not re.fullmatch(r"\$\{(hparams\.\w+|seed)\}", str(value)):
                found[f"{group}.{key}"] = _shown(config, f"{group}.{key}")
    for word in typed:
        key = word.lstrip("+").partition("=")[0]
        if not key.startswith(("~", "hparams.", "tags.", "hydra", "sweep")) and key not in NOT_LISTED:
            found[key] = _shown(config, key)
    return {key: value if isinstance(value, Plain) else str(value) for key, value in found.items()}

"""The trackers that a configuration names, and what each of them lists about the run."""

import getpass
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workbench.config.build import build
from workbench.run.provenance import commit_of, kept_overrides
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
    trackers = {
        name: build(node, f"loggers.{name}", trusted) for name, node in (config.loggers or {}).items()
    }
    for name, tracker in trackers.items():
        check_tracker(name, tracker)
    return trackers


def describe(
    config: DictConfig, folder: Path, started: float, overrides: Sequence[str] = ()
) -> RunDescription:
    """Return what every tracker lists about the run; `overrides` are its folder's and these."""
    typed = [*kept_overrides(folder), *overrides]
    note, commit = read_note(folder), commit_of(folder)
    who = {"user": getpass.getuser(), **({"commit": commit} if commit else {})}
    return RunDescription(
        folder=folder,
        experiment_name=config.experiment_name,
        run_name=folder.name,
        tags=who | dict(config.tags) | (note.tags if note else {}),
        hparams=_parameters(config, typed),
        started=started,
        note=config.note,
    )


def _parameters(config: DictConfig, typed: Sequence[str]) -> dict[str, Plain]:
    """Return the names of the parts, hyper-parameters, the parts' own keys, and every other key typed."""
    hparams: Any = OmegaConf.to_container(config.hparams, resolve=True)
    found: dict[str, Any] = {group: choice(group, config[group], typed) for group in CHOICES}
    found |= {str(name): value for name, value in hparams.items()} | {"seed": config.seed}
    for group in ("task", "data", "model"):
        raw: Any = OmegaConf.to_container(config[group] or OmegaConf.create(), resolve=False)
        for key, value in raw.items():
            if key != "_target_" and not re.fullmatch(r"\$\{(hparams\.\w+|seed)\}", str(value)):
                found[f"{group}.{key}"] = OmegaConf.select(config, f"{group}.{key}")
    for word in typed:
        key = word.lstrip("+").partition("=")[0]
        if not key.startswith(("~", "hparams.", "tags.", "hydra", "sweep")) and key not in NOT_LISTED:
            found[key] = OmegaConf.select(config, key)
    return {key: value if isinstance(value, Plain) else str(value) for key, value in found.items()}

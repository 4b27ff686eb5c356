"""The trackers that a configuration names, and what each of them lists about the run."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from workbench.config.build import build
from workbench.run.trial import read_note
from workbench.tracking.tracker import RunDescription, Tracker
from workbench.tracking.uploader_process import check_tracker


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


def describe(config: DictConfig, folder: Path, started: float) -> RunDescription:
    """Return what every tracker lists about the run."""
    hparams = OmegaConf.to_container(config.hparams, resolve=True)
    assert isinstance(hparams, dict)
    note = read_note(folder)
    plain = {str(name): str(value) if isinstance(value, list) else value for name, value in hparams.items()}
    return RunDescription(
        folder=folder,
        experiment_name=config.experiment_name,
        run_name=folder.name,
        tags=dict(config.tags) | (note.tags if note else {}),
        hparams={**plain, "seed": config.seed},
        started=started,
        note=config.note,
    )

"""The run folder: made once, locked while its run lives, with a summary that says how the run ended.

outputs/<experiment_name>/<date>_<time>_<id>/
    config.yaml  overrides.yaml  environment.json  uncommitted.diff  data.json     what was run, on what
    train.log  metrics.csv  figures/*.png  checkpoints/best.ckpt  last.ckpt        what came out
    summary.json                                                                   status and final metrics
"""

import secrets
from datetime import datetime
from pathlib import Path

from workbench.common.errors import ConfigError
from workbench.common.workspace import ROOT


def name_folder(outputs: Path, experiment_name: str) -> Path:
    """Return `<outputs>/<experiment_name>/<date>_<time>_<id>`; the id makes two runs of one second differ."""
    return outputs / experiment_name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


def make_folder(folder: Path) -> bool:
    """Make a run folder and let `latest` point at it; False where another run was faster.

    Raises ConfigError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True)
        _point_latest_at(folder)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise ConfigError(f"outputs: {folder} cannot be made: a file is in its place") from None
    except OSError as error:
        raise ConfigError(f"outputs: {folder} cannot be made: {error.strerror}") from error
    return True


def _point_latest_at(folder: Path) -> None:
    temporary = folder.parent / f".latest-{folder.name}"
    temporary.symlink_to(folder.name)
    temporary.replace(folder.parent / "latest")


def is_run_folder(folder: Path) -> bool:
    """Tell a run folder by the configuration it was started with."""
    return (folder / "config.yaml").is_file()


def find_folder(name: str, key: str) -> Path:
    """Return the run folder a user named, relative to where they are or to the workspace.

    Raises ConfigError where it is no run folder.
    """
    for candidate in (Path(name).expanduser(), ROOT / name):
        if is_run_folder(candidate):
            return candidate.resolve()
    raise ConfigError(f"{key}: {name} is not a run folder: it has no config.yaml")


def weights_file(folder: Path) -> Path:
    """Return the checkpoint with a run's weights, by preference the best; ConfigError where it has none."""
    found = [folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise ConfigError(f"{folder}: this run has no checkpoint to take weights from")
    return path

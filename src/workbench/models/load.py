"""From a finished run back to its model: rebuilt from its own configuration, weights loaded safely."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from workbench.common.errors import ConfigError, UserError
from workbench.common.workspace import load_env
from workbench.config.build import leave_out_weights
from workbench.config.composition import register
from workbench.config.strangers import admit, read_stranger
from workbench.run.checkpoints import load_weights, read_checkpoint
from workbench.run.folder import OUTPUTS, find_folders, refuse_links, the_only, weights_file
from workbench.tracking.mlflow import connect, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

    from workbench.train.base import RunTask

FILES = ("config.yaml", "checkpoints/best.ckpt")


def load_model(
    run: str | Path,
    experiment_name: str | None = None,
    outputs: Path | None = None,
    trusted_targets: Sequence[str] = (),
) -> "RunTask":
    """Return the task of a run in evaluation, its network filled with the best weights, for post-processing.

    `run` is a run folder, the end of its name, `latest`, or `mlflow:<run id>`; with `experiment_name` also
    the name or id of a run that only MLflow has. The data are not touched: `task.preprocessing_train()` reads
    them. The run may be anybody's: only tasks, data sets and networks are built, of this workspace or under
    the prefixes of config/config.yaml and `trusted_targets`. Raises ConfigError where there is no such run,
    or it would build anything else, UserError where its checkpoint is damaged.
    """
    folder = _find_folder(str(run), experiment_name, outputs)
    if folder is not None:
        return rebuild(folder, trusted=trusted_targets)[0]
    with TemporaryDirectory() as copy:
        downloaded = _download(str(run).removeprefix("mlflow:"), experiment_name, Path(copy))
        return rebuild(downloaded, trusted=trusted_targets)[0]


def _find_folder(run: str, experiment_name: str | None, outputs: Path | None) -> Path | None:
    """Return a run folder on this machine; None where only MLflow may have the run."""
    places: Sequence[Path] = OUTPUTS if outputs is None else (outputs,)
    if experiment_name is not None:
        places = tuple(place / experiment_name for place in places)
    found = find_folders(run, places)
    is_elsewhere = not found and (experiment_name is not None or run.startswith("mlflow:"))
    return None if is_elsewhere else the_only(found, run, "run").resolve()


def _require_one(run: str | Path, names: Sequence[str]) -> None:
    if len(names) > 1:
        raise ConfigError(f"{run} could be each of {', '.join(sorted(names))}: write more of it")


def _download(run: str, experiment_name: str | None, folder: Path) -> Path:
    """Fetch from MLflow what a rebuilt model needs."""
    load_env()
    where = tracking_uri()
    client = connect(where)
    from mlflow.exceptions import MlflowException

    every = client.search_experiments(max_results=1000)
    chosen = [each.experiment_id for each in every if experiment_name in (None, each.name)]
    found: list[Run] = client.search_runs(chosen, max_results=1000) if chosen else []
    same = [known for known in found if run == known.info.run_id or known.info.run_name.endswith(run)]
    _require_one(run, [known.info.run_name for known in same])
    if not same:
        of = experiment_name or "any experiment"
        raise ConfigError(f"there is no run {run} of {of}, neither in outputs/ nor at {where}")
    try:
        for file in FILES:
            path = Path(client.download_artifacts(same[0].info.run_id, file))
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / file)
    except (MlflowException, OSError) as error:
        raise ConfigError(f"{run} of {experiment_name} has no checkpoint at {where}") from error
    return folder


def rebuild(
    folder: Path, change: Callable[[DictConfig], None] = lambda _: None, trusted: Sequence[str] = ()
) -> "tuple[RunTask, DictConfig]":
    """Return the task of a run folder in evaluation, its network filled with the kept weights.

    Beside it its configuration, as `change` left it.
    """
    from torch import nn

    from workbench.train.base import RunTask
    from workbench.train.loading import SetData
    from workbench.train.training import build_task

    refuse_links(folder)
    register()
    config = read_stranger(folder, trusted, to_build=True)
    change(config)
    for group, kind in {"task": RunTask, "data": SetData, "model": nn.Module}.items():
        admit(config[group], group, kind, config.trusted_targets)
    leave_out_weights(config.model)
    task = build_task(config)
    arguments = read_checkpoint(weights_file(folder)).get("network_arguments")
    if arguments is None:  # a checkpoint of an earlier version
        task.preprocessing_train()
        arguments = task.network_arguments()
    task.read_pretrained(arguments)
    task.network = task.make_network(**arguments)
    try:
        task.network.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{folder}: its weights do not fit the network of its config.yaml ({reason})"
        ) from error
    return task.eval(), config


def with_model(folder: Path) -> Path:
    """Return `<run folder>/model/`; make it from the run's configuration, data and weights if need be.

    Raises UserError where the run has no weights, or what it learned is not about images.
    """
    refuse_links(folder)
    model = folder / "model"
    if not (model / "model.pt2").is_file():
        print(f"{folder} has no model/ yet: it is made from its weights and data")
        _make(folder)
    return model


def _make(folder: Path) -> None:
    from workbench.train.export import write_task

    task = load_model(folder)
    task.fetch_data()
    task.preprocessing_train()
    task.on_test_start()  # where a threshold is chosen
    if not write_task(task, folder):
        raise UserError(f"{folder}: its data are no images, so it has no model that judges any")

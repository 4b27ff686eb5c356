"""From a run folder to a version of a registered model, under an alias."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.common.errors import ConfigError, UserError
from workbench.common.workspace import load_env
from workbench.config.strangers import read_stranger
from workbench.models.load import with_model
from workbench.run.folder import find_folder
from workbench.run.summary import read_summary, status
from workbench.tracking.artifacts import Acknowledged
from workbench.tracking.mlflow import KEY_TAG, MlflowTracker, connect, tracking_uri
from workbench.tracking.mlflow_model import log_model
from workbench.tracking.trackers import describe
from workbench.tracking.uploader import Mirror

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NAME = r"[^/:.%\"']+"  # of a registered model: what stands in models:/<name>@<alias>
ALIAS = r"(?!v\d+$)(?!latest$)[\w-]+"


@dataclass
class Words:
    """What register.py is told."""

    run: str | None = None
    name: str | None = None
    alias: str | None = None


def register(words: Words) -> int:
    """Register the model of a run, sending the run to MLflow first where it is not there.

    Done twice, it changes nothing. Raises ConfigError for a wrong word, UserError where MLflow refuses.
    """
    folder = _check(words)
    try:
        client, run = publish(folder)
        version = _version(client, run, str(words.name), log_model(client, run.info.run_id, folder / "model"))
        if words.alias:
            client.set_registered_model_alias(str(words.name), words.alias, version)
    except UserError:
        raise
    except Exception as error:  # of MLflow, and of all that lies below it
        raise UserError(
            f"MLflow at {tracking_uri()} does not take the model: {_first_line(error)}"
        ) from error
    where = f"models:/{words.name}/{version}"
    print(f"{folder} is {where}" + (f", models:/{words.name}@{words.alias}" if words.alias else ""))
    return 0


def _check(words: Words) -> Path:
    for key in ("run", "name"):
        if not getattr(words, key):
            raise ConfigError(f"{key}: missing; write run=<run folder> name=<model> alias=<alias>")
    if not re.fullmatch(NAME, str(words.name)):
        raise ConfigError(
            f"name: {words.name!r} stands in models:/<name>@<alias>; leave out / : . % and quotes"
        )
    if words.alias and not re.fullmatch(ALIAS, words.alias):
        raise ConfigError(
            f"alias: {words.alias!r} cannot be one; use letters, digits, _ and -, and neither latest nor v1"
        )
    folder = find_folder(str(words.run), "run")
    with_model(folder)
    return folder


def publish(folder: Path) -> "tuple[MlflowClient, Run]":
    """Return the run as MLflow keeps it; send it there first where it is not, or not as it ended."""
    load_env()
    client = connect(tracking_uri())
    run = _find(client, folder)
    if run is None or run.info.status == "RUNNING":
        summary = read_summary(folder)
        description = describe(read_stranger(folder), folder, float(summary.get("started", 0)))
        mirror = Mirror(folder, {"mlflow": MlflowTracker()}, description)
        with _silent("workbench"):  # what goes wrong is said once, below
            mirror.start()
            mirror.close(_ended_as(folder))
        run = _find(client, folder)
    if run is None or run.info.status == "RUNNING":
        raise UserError(f"{folder} could not be sent to MLflow at {tracking_uri()}")
    return client, run


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _ended_as(folder: Path) -> str:
    ended = status(folder)
    if ended == "running":
        raise ConfigError(f"run: {folder} is still being written by a living run")
    return ended if ended in ("finished", "interrupted") else "failed"


def _find(client: "MlflowClient", folder: Path) -> "Run | None":
    experiment = client.get_experiment_by_name(read_stranger(folder).experiment_name)
    if experiment is None:
        return None
    key = Acknowledged(folder).key
    found = client.search_runs([experiment.experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return found[0] if found else None


def _version(client: "MlflowClient", run: "Run", name: str, place: str) -> str:
    """Return the version of the model at `place` among the run's artifacts; make it where there is none."""
    from mlflow.exceptions import MlflowException

    source = f"runs:/{run.info.run_id}/{place}"  # as MLflow's page writes it
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions: list[Any] = client.search_model_versions(f"name='{name}' and run_id='{run.info.run_id}'")
    same = [version.version for version in versions if version.source == source]
    return str(same[0] if same else client.create_model_version(name, source, run.info.run_id).version)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

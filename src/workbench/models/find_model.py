"""From what a person calls a model to its files: a registry's name, a run folder, or an exported file."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.common.errors import ConfigError, UserError
from workbench.common.workspace import load_env
from workbench.models.load import with_model
from workbench.portable.model import Model, load_model
from workbench.run.folder import find_folder
from workbench.tracking.mlflow import connect, tracking_uri

SUFFIXES = (".pt2", ".onnx")


@dataclass(frozen=True)
class NamedModel:
    """A loaded model, and which one it is, in words that stand in every line of an answer."""

    model: Model
    version: str


def find_model(name: str) -> NamedModel:
    """Load a model; raise ConfigError where there is none of that name, UserError where it is damaged."""
    try:
        if name.startswith("models:/"):
            return _from_registry(name)
        if Path(name).suffix in SUFFIXES:
            return _from_file(Path(name).expanduser())
        folder = find_folder(name, "model")
        return NamedModel(load_model(with_model(folder)), folder.name)
    except ValueError as error:
        raise UserError(f"model: {error}") from error


def _from_file(path: Path) -> NamedModel:
    if not path.is_file():
        raise ConfigError(f"model: there is no file {path}")
    return NamedModel(load_model(path), path.name)


def _from_registry(uri: str) -> NamedModel:
    load_env()
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")  # nothing here needs one
    where = tracking_uri()
    client = connect(where)
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    words = re.fullmatch(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>\d+))", uri)
    if words is None:
        raise ConfigError(f"model: {uri} is neither models:/<name>@<alias> nor models:/<name>/<version>")
    try:
        if words["alias"]:
            found = client.get_model_version_by_alias(words["name"], words["alias"])
        else:
            found = client.get_model_version(words["name"], words["version"])
        with TemporaryDirectory() as folder:
            files = Path(download_artifacts(found.source, dst_path=folder, tracking_uri=where))
            model = load_model(next(files.glob("data/*/model.pt2"), files))
    except MlflowException as error:
        raise ConfigError(f"model: {uri} is not in the registry at {where}: {error.message}") from error
    return NamedModel(model, f"{found.name} version {found.version}")

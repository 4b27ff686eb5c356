"""Which files are meant: a folder, a pattern, or a list.

From what a person calls a model to its files: a registry's name, a run folder, or an exported file.
"""

import csv
import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.common.errors import ConfigError, DataError, UserError, need_extra
from workbench.common.workspace import load_env
from workbench.models.load import with_model
from workbench.portable.model import Model, load_model
from workbench.portable.pixels import is_image_name
from workbench.run.folder import find_folder
from workbench.tracking.mlflow import connect, tracking_uri


def find_images(name: str) -> list[Path]:
    """Return the files, each once, in a fixed order: of a folder and all below it, a pattern, or a list.

    Paths in a list may be relative to it. Raises ConfigError where there is no such place, DataError where no
    image is there.
    """
    place = Path(name).expanduser()
    if place.is_dir():
        found = sorted(path for path in place.rglob("*") if is_image_name(path) and path.is_file())
    elif place.suffix in (".txt", ".csv") and place.is_file():
        found = _listed(place)
    elif place.is_file():
        found = [place]
    elif glob.has_magic(name):
        found = sorted(Path(path) for path in glob.iglob(str(place), recursive=True))  # noqa: PTH207  # absolute ones too
        found = [path for path in found if path.is_file()]
    else:
        raise ConfigError(f"input: there is no {name}; give a folder, a pattern, or a .txt or .csv list")
    if not found:
        raise DataError(f"input: no image in {name}")
    return list(dict.fromkeys(found))


def _listed(path: Path) -> list[Path]:
    """Return the paths of a list: each line of a text, or the column `path` (else the first) of a table."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".txt":
        names = [line.strip() for line in text.splitlines()]
    else:
        rows = list(csv.reader(text.splitlines()))
        has_header = bool(rows) and "path" in rows[0]
        column = rows[0].index("path") if has_header else 0
        names = [row[column] for row in rows[has_header:] if len(row) > column]
    return [path.parent / Path(name).expanduser() for name in names if name]


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
    if path.suffix == ".onnx":
        need_extra("onnxruntime", "onnx", f"model={path}")
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

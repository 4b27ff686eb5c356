"""A run's model in MLflow's own form, which its pages, its registry and its server know how to use."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from workbench import portable
from workbench.common.errors import ConfigError
from workbench.portable.archive import plain_copy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model, ModelSignature

HISTORY_TAG = "mlflow.log-model.history"  # by which MLflow's page of a run offers Register model
NEEDED = ("mlflow", "torch", "numpy", "pandas", "pillow")
COLUMNS = {
    "classification": {"class": "string", "probability": "double"},
    "anomaly": {"score": "double", "p_value": "double", "threshold": "double", "is_anomaly": "boolean"},
}


def log_model(client: "MlflowClient", run_id: str, model: Path) -> str:
    """Log the folder `model` among the run's artifacts, once, and return where there: `model`.

    A resumed run ends with another model, which goes beside the earlier one: that may be registered.
    """
    sha256 = hashlib.sha256((model / "model.pt2").read_bytes()).hexdigest()
    history = json.loads(client.get_run(run_id).data.tags.get(HISTORY_TAG, "[]"))
    for logged in history:
        if logged["sha256"] == sha256:
            return str(logged["artifact_path"])
    place = f"model_{len(history) + 1}" if history else "model"
    with TemporaryDirectory() as folder:
        saved = save_as_mlflow(model, Path(folder, "model"), run_id, place)
        client.log_artifacts(run_id, str(Path(folder, "model")), place)
    entry = saved.get_tags_dict() | {"sha256": sha256}
    client.set_tag(run_id, HISTORY_TAG, json.dumps([*history, entry]))
    return place


def save_as_mlflow(model: Path, target: Path, run_id: str, place: str) -> "Model":
    """Write MLflow's form of a model folder: the files, the code that answers with them, what both need.

    Raises ConfigError for a model that loading refuses.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    try:
        plain_copy(model / "model.pt2")
    except ValueError as error:
        raise ConfigError(f"{model / 'model.pt2'} is not loaded: {error}") from error
    described = json.loads((model / "model.json").read_text(encoding="utf-8"))
    metadata = {key: described.get(key) for key in ("kind", "threshold", "classes", "preprocessing")}
    taken_and_given = signature(described["kind"], described.get("classes", []))
    form = Model(place, run_id, signature=taken_and_given, metadata=metadata)
    with TemporaryDirectory() as copy:
        files, code = Path(copy, "model"), Path(copy, "portable")
        files.mkdir()
        for name in ("model.pt2", "model.json"):  # and nothing else that lies there
            shutil.copy(model / name, files)
        shutil.copytree(portable.__path__[0], code, ignore=shutil.ignore_patterns("__pycache__"))
        pyfunc.save_model(
            str(target),
            loader_module="portable.served",
            data_path=str(files),
            code_paths=[str(code)],
            mlflow_model=form,
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDED],
        )
    return form


def signature(kind: str, classes: Sequence[str] = ()) -> "ModelSignature":
    """Return what the served model takes, a column of base64 images and perhaps a threshold, and answers."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    columns = COLUMNS.get(kind) or dict.fromkeys(classes, "double")
    if kind == "multilabel":
        columns = {"labels": "string"} | {f"probability of {name}": "double" for name in classes}
    params = {"anomaly": [ParamSpec("threshold", "double", None)]}.get(kind)
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec(type_, name) for name, type_ in columns.items()]),
        params=params and ParamSchema(params),  # type: ignore[arg-type]  # None is allowed
    )

"""MLflow: a local SQLite store under mlruns/, or the server that MLFLOW_TRACKING_URI names."""

import logging
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from workbench.common.errors import ConfigError
from workbench.common.redaction import is_secret_in_query
from workbench.common.workspace import ROOT, load_env
from workbench.run.folder import fingerprint_of
from workbench.run.metrics_file import FILE_NAME, Row
from workbench.tracking.artifacts import artifacts
from workbench.tracking.mlflow_model import log_model
from workbench.tracking.tracker import RunDescription

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "patchsets.key"  # finds a run again whose creation was never answered
DESCRIPTION = "mlflow.note.content"  # what MLflow's page shows as the run's description
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "pruned": "KILLED"}
METRICS_PER_REQUEST = 900  # MLflow takes at most 1000, in at most a megabyte
PARAMS_PER_REQUEST = 100
LONGEST_PARAM, LONGEST_TAG, LONGEST_KEY = 6000, 8000, 250  # characters MLflow takes
CUT = " [cut: whole in config.yaml]"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class MlflowTracker:
    """Keeps each run folder as one MLflow run: what is sent twice is stored once.

    Raises ConfigError where MLFLOW_TRACKING_URI names a password or a store MLflow no longer writes.
    """

    name = "mlflow"

    def __init__(self) -> None:
        load_env()
        self.where = self._uri = tracking_uri()

    def start(self, run: RunDescription, key: str) -> str:
        """Find the run or create it, and give it its tags, parameters and config.yaml."""
        self._run = run
        self._client = connect(self._uri)
        experiment = self._find_or_create_experiment()
        self._id = self._find_run(experiment, key) or self._create_run(experiment, key)
        self._client.update_run(self._id, status="RUNNING")
        self._send_tags()
        self._send_params()
        self._send_files("config.yaml")
        return self._id

    def scalars(self, rows: list[Row]) -> None:
        """Send values with the times they were measured at."""
        from mlflow.entities import Metric

        for start in range(0, len(rows), METRICS_PER_REQUEST):
            part = rows[start : start + METRICS_PER_REQUEST]
            metrics = [Metric(_valid(row.name), row.value, _milliseconds(row.time), row.x) for row in part]
            self._client.log_batch(self._id, metrics=metrics)

    def figure(self, name: str, path: Path) -> None:
        """Send a figure into the artifact folder `figures/`."""
        parent = Path("figures", name).parent.as_posix()
        self._client.log_artifact(self._id, str(path), parent)

    def finish(self, status: str) -> None:
        """Send the run folder as artifacts and its model as one, and end when its last value was measured."""
        self._send_files("*")
        if fingerprint := fingerprint_of(self._run.folder):
            self._client.set_tag(self._id, "data", fingerprint)
        if (self._run.folder / "model").is_dir():
            log_model(self._client, self._id, self._run.folder / "model")
        metrics = self._run.folder / FILE_NAME
        ended = _milliseconds(metrics.stat().st_mtime) if metrics.is_file() else None
        self._client.set_terminated(self._id, STATUS[status], ended)

    def _send_files(self, pattern: str) -> None:
        for path, parent in artifacts(self._run.folder, pattern):
            self._client.log_artifact(self._id, str(path), parent)

    def _find_or_create_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._run.experiment_name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name, artifact_location(self._uri))
            except MlflowException:  # another process was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_run(self, experiment: str, key: str) -> str | None:
        runs = self._client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def _create_run(self, experiment: str, key: str) -> str:
        started = _milliseconds(self._run.started)
        run = self._client.create_run(experiment, started, {KEY_TAG: key}, run_name=self._run.run_name)
        return str(run.info.run_id)

    def _send_tags(self) -> None:
        """Send the tags, again where a later start has others."""
        from mlflow.entities import RunTag

        tags = {_valid(name): text for name, text in self._run.tags.items()}
        if self._run.note:
            tags[DESCRIPTION] = self._run.note
        self._client.log_batch(self._id, tags=[RunTag(key, text[:LONGEST_TAG]) for key, text in tags.items()])

    def _send_params(self) -> None:
        """Send what is not there yet: MLflow refuses to change a parameter."""
        from mlflow.entities import Param

        present = self._client.get_run(self._id).data.params
        texts = {_valid(name): _cut(str(value)) for name, value in self._run.hparams.items()}
        params = [Param(name, text) for name, text in texts.items() if name not in present]
        for start in range(0, len(params), PARAMS_PER_REQUEST):
            self._client.log_batch(self._id, params=params[start : start + PARAMS_PER_REQUEST])


def tracking_uri(environment: Mapping[str, str] = os.environ) -> str:
    """Return where MLflow keeps runs: MLFLOW_TRACKING_URI, else the workspace's own SQLite store.

    Raises ConfigError for an address with a password in it, and for a folder.
    """
    uri = environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT}/mlruns/mlflow.db"
    address = urlsplit(uri)
    is_server = address.scheme in ("http", "https")
    query = [part for part in address.query.split("&") if not is_secret_in_query(part.partition("=")[0])]
    if address.password or (address.username and is_server) or len(query) <= address.query.count("&"):
        user = f"{address.username}@" if address.username and not is_server else ""
        host = user + address.netloc.rpartition("@")[2]
        plain = address._replace(netloc=host, query="&".join(query)).geturl()
        of_server = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise ConfigError(
            f"MLFLOW_TRACKING_URI holds a user or password, which MLflow prints: set it to {plain}"
            f" and give them in {of_server if is_server else 'PGPASSWORD, or where its client looks'}"
        )
    if address.scheme in ("", "file") and not uri.startswith("databricks"):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI={uri} is a folder, which MLflow no longer writes to: unset it, or use"
            " sqlite:////<folder>/mlflow.db"
        )
    return uri


def connect(uri: str) -> "MlflowClient":
    """Import MLflow quietly and return a client whose store exists."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # would announce every new attempt
    from mlflow import MlflowClient

    with _alone(uri):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def artifact_location(uri: str) -> str | None:
    """Return the folder `artifacts` beside a SQLite store; None leaves the choice to a server."""
    database = _database(uri)
    return str(database.parent / "artifacts") if database else None


def _database(uri: str) -> Path | None:
    address = urlsplit(uri)
    return Path(address.path[1:]).absolute() if address.scheme == "sqlite" else None


def _alone(uri: str) -> AbstractContextManager[object]:
    """Wait for other processes: two that create a SQLite store at once break it for good."""
    database = _database(uri)
    if database is None:
        return nullcontext()
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(database.with_name(f".{database.name}.lock"))


def _valid(name: str) -> str:
    """Return a name that MLflow takes; characters it refuses are named, so that two names stay two."""
    return re.sub(r"[^/\w.\- :]", _named, name)[:LONGEST_KEY]


SPOKEN = {"@": "at", "#": "number", "%": "percent"}


def _named(found: re.Match[str]) -> str:
    return f"_{SPOKEN.get(found[0], f'{ord(found[0]):x}')}_"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_PARAM else text[: LONGEST_PARAM - len(CUT)] + CUT


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

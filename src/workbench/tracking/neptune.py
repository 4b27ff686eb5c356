"""Neptune, kept offline in `<run folder>/.neptune`: the hosted service closed on 5 March 2026.

A self-hosted server takes the run instead where NEPTUNE_API_TOKEN and NEPTUNE_PROJECT are set and it answers.
What is kept offline can be sent to one later: neptune sync --path <run folder> --project <workspace>/<name>
"""

import base64
import json
import logging
import math
import os
import shutil
import urllib.error
import urllib.request
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from workbench.common.errors import need_extra
from workbench.common.redaction import redact
from workbench.common.workspace import load_env
from workbench.run.folder import fingerprint_of
from workbench.run.metrics_file import Row
from workbench.tracking.tracker import RunDescription

if TYPE_CHECKING:
    from neptune import Run
    from neptune.types import File

PROBE_SECONDS = 2.0
CLOSE_SECONDS = 10.0  # what a server has not taken by then stays in the store, for neptune sync
OFFLINE = "offline"
LONGEST_RUN_ID = 36  # characters Neptune takes

log = logging.getLogger(__name__)
logging.getLogger("neptune").addFilter(lambda record: record.levelno >= logging.ERROR)
logging.getLogger("py.warnings").addFilter(lambda record: "neptune-client" not in record.getMessage())


class NeptuneTracker:
    """Writes runs with Neptune's own client, which sends or captures nothing by itself."""

    name = "neptune"

    def __init__(self) -> None:
        need_extra("neptune", "neptune", "loggers.neptune")
        load_env()
        self._run: Run | None = None
        self.where = server_address() or OFFLINE

    def start(self, run: RunDescription, key: str) -> str:
        """Open the run, on a server that answers or in the run folder; write hyper-parameters and tags."""
        if self._run is not None:
            self._run.stop(seconds=CLOSE_SECONDS)
        self._folder = run.folder
        store = run.folder / ".neptune"
        address = server_address()
        online = address is not None and answers(address)
        self.where = address if address is not None and online else OFFLINE
        if not online:
            _say_where(store, address)
            shutil.rmtree(store, ignore_errors=True)  # written anew, so that it always equals metrics.csv
        self._run = _open_run(run, key, store, "async" if online else "offline")
        values = {name: "None" if value is None else value for name, value in run.hparams.items()}
        self._write({"experiment_name": run.experiment_name, "hparams": values, "tags": run.tags})
        return key if online else ""

    def scalars(self, rows: list[Row]) -> None:
        """Append values, each against its own axis; NaN and infinity, which Neptune refuses, are left out."""
        finite = sorted((row for row in rows if math.isfinite(row.value)), key=lambda row: row.name)
        assert self._run is not None
        for name, same in groupby(finite, lambda row: row.name):
            series = list(same)
            self._run[name].extend(
                [row.value for row in series],
                steps=[float(row.x) for row in series],
                timestamps=[row.time for row in series],
            )
        self._run.wait(disk_only=True)

    def figure(self, name: str, path: Path) -> None:
        """Upload a figure; a changed one replaces the earlier."""
        self._write({f"figures/{name}": _file(path.read_bytes(), path)})

    def finish(self, status: str) -> None:
        """Upload config.yaml and close the run."""
        config = self._folder / "config.yaml"
        if config.is_file():
            self._write({"config": _file(redact(config.read_text(encoding="utf-8")), config)})
        self._write({"status": status, "data": fingerprint_of(self._folder) or ""})
        assert self._run is not None
        self._run.stop(seconds=CLOSE_SECONDS)
        self._run = None

    def _write(self, values: dict[str, Any]) -> None:
        assert self._run is not None
        for name, value in values.items():
            self._run[name] = value
        self._run.wait(disk_only=True)


def _file(content: str | bytes, path: Path) -> "File":
    from neptune.types import File

    return File.from_content(content, extension=path.suffix.removeprefix("."))


def _open_run(run: RunDescription, key: str, store: Path, mode: Literal["async", "offline"]) -> "Run":
    import neptune

    os.environ["NEPTUNE_DATA_DIRECTORY"] = str(store)
    return neptune.init_run(
        mode=mode,
        name=run.run_name,
        description=run.note or None,
        custom_run_id=key[:LONGEST_RUN_ID],
        capture_stdout=False,
        capture_stderr=False,
        capture_hardware_metrics=False,
        capture_traceback=False,
        fail_on_exception=False,
        source_files=[],
        git_ref=False,
    )


def server_address() -> str | None:
    """Return the address of the self-hosted server NEPTUNE_API_TOKEN names; None where it names none."""
    try:
        content = json.loads(base64.b64decode(os.environ.get("NEPTUNE_API_TOKEN", "")))
        address = str(content["api_address"])
    except (ValueError, KeyError, TypeError):
        return None
    return None if (urlsplit(address).hostname or "").endswith("neptune.ai") else address


def answers(address: str) -> bool:
    """Tell whether an HTTP server answers in time; Neptune's client itself would wait for many minutes."""
    if urlsplit(address).scheme not in ("http", "https"):
        return False
    try:
        urllib.request.urlopen(address, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:  # an answer, whatever it says
        return True
    except OSError:
        return False
    return True


def _say_where(store: Path, address: str | None) -> None:
    why = f"{address} does not answer" if address else "NEPTUNE_API_TOKEN names no self-hosted server"
    log.warning("Neptune's hosted service closed on 5 March 2026 and %s: the run is kept in %s.", why, store)

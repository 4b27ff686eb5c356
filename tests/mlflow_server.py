"""A real MLflow server for the tests that need one."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PORTS = range(20_000, 32_000)  # below those the kernel gives to clients, one of which could take a port
# while its server is down for a moment


def is_free(port: int) -> bool:
    """Tell whether a server could listen there."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """A real `mlflow server` with one worker, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        port = next(filter(is_free, random.sample(PORTS, 100)))
        self.uri = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        self._command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        self._command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]

    def start(self) -> None:
        environment = os.environ | {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while not self._is_ready():
            assert self._process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._process.pid, 9)
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200
        except OSError:
            return False

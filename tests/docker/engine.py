"""A host with a real engine: scripts are run as a user runs them, and nothing is left of them afterwards."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect


def docker(*words: str, check: bool = True) -> str:
    """Run docker and return what it says."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def engine_answers() -> bool:
    """Tell whether there is an engine that this user may use."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for what must come true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


@dataclass
class EngineHost:
    """The scripts of one workspace, called with names of the test's own and any free ports."""

    workspace: Path
    image: str
    container: str
    user: int = field(default_factory=os.getuid)
    group: int = field(default_factory=os.getgid)
    groups: list[int] = field(default_factory=list)
    build_arguments: dict[str, str] = field(default_factory=dict)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return a host's environment with nothing of this machine's but how docker is reached."""
        passed = {
            name: text for name, text in os.environ.items() if name == "PATH" or name.startswith("DOCKER")
        }
        ports = {"MLFLOW_PORT": "0", "TENSORBOARD_PORT": "0", "JUPYTER_PORT": "0"}
        names = {"PATCHSETS_IMAGE": self.image, "PATCHSETS_CONTAINER": self.container}
        return {**passed, "HOME": str(self.workspace.parent), "TERM": "xterm", **ports, **names, **variables}

    def __call__(self, script: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script without a terminal."""
        return self.run([str(self.workspace / "docker" / script), *words], **variables)

    def run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run any command as the user."""
        return subprocess.run(
            command,
            env=self.environment(**variables),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._as_user(),
        )

    @contextmanager
    def start(self, script: str, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start a script in the background, without a terminal; it ends with the block at the latest."""
        with subprocess.Popen(
            [self.workspace / "docker" / script, *words],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            **self._as_user(),
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

    def terminal(self, script: str, *words: str, **variables: str) -> "pexpect.spawn[str]":
        """Start a script on a terminal."""
        path = str(self.workspace / "docker" / script)
        command, arguments = "env", [path, *words]
        if self.user != os.getuid():
            groups = ",".join(map(str, self.groups))
            ids = [f"--reuid={self.user}", f"--regid={self.group}", f"--groups={groups}"]
            command, arguments = "setpriv", [*ids, path, *words]
        environment = self.environment(**variables)
        return pexpect.spawn(command, arguments, env=environment, encoding="utf-8", timeout=60)

    def address(self, port: int) -> str:
        """Return where on the host a port of the container is."""
        return docker("port", self.container, f"{port}/tcp").splitlines()[0]

    def processes(self) -> list[str]:
        """Return what runs in the container beside the command that run.sh started."""
        rows = docker("top", self.container, "-o", "pid,args").splitlines()[1:]
        return [row.split(maxsplit=1)[1] for row in rows][2:]

    def state(self) -> str:
        """Return the container's state, or nothing where there is none."""
        return docker("container", "inspect", "--format", "{{.State.Status}}", self.container, check=False)

    def remove(self) -> None:
        """Leave neither container nor volume."""
        docker("rm", "--force", self.container, check=False)
        docker("volume", "rm", "--force", f"{self.container}_history", check=False)

    def _as_user(self) -> dict[str, Any]:
        if self.user == os.getuid():
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": self.groups}

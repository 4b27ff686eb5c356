"""A workspace with the scripts, and a recorder in the place of docker."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import whole
from pretend_host import ENGINE, PORTS, ROOT, Host


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """Nothing where there is a real engine, which `make test-docker` may start; else why there is none."""
    with whole.engine(may_start="PATCHSETS_TEST_DOCKER" in os.environ) as missing:
        yield missing


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A workspace whose path has a space, a comma and a quote in it, and an engine without a container."""
    workspace = tmp_path / 'Patch "Sets", a'
    shutil.copytree(ROOT / "docker", workspace / "docker")
    answers = tmp_path / "bin"
    answers.mkdir()
    shutil.copy(ROOT / "tests/docker/recorder.sh", answers / "docker")
    host = Host(workspace, answers)
    host.say("info", ENGINE)
    host.say("image", f"{os.getuid()}\n")
    return host


@pytest.fixture
def running(host: Host) -> Host:
    """The same with a container that runs."""
    host.say("state", "running\n")
    host.say("ports", PORTS)
    return host

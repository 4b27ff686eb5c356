"""Each mistake gets one clear line, and leaves nothing behind."""

import shutil

import pytest
from pretend_host import Host

SAID = "Error response from daemon: {}\nError: failed to start containers: patch_sets\n"
NO_GPU = SAID.format('could not select device driver "" with capabilities: [[gpu]]')
TAKEN = SAID.format("driver failed: Bind for 127.0.0.1:6006 failed: port is already allocated")
TAKEN_BY_HOST = SAID.format("userland proxy: listen tcp4 127.0.0.1:6006: bind: address already in use")
LISTENS = "   0: 00000000:1770 00000000:0000 0A 00000000:00000000 00:00000000\n"  # 0x1770 is 6000


def told(
    host: Host, script: str, *words: str, notes: int = 0, terminal: bool = False, **variables: str
) -> str:
    """Run what must fail, and return the one line that is left after notes of what was found."""
    done = host(script, *words, cwd=None, terminal=terminal, **variables)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert len(lines) == 1 + notes, lines
    assert lines[-1].startswith(f"{script}: ")
    return lines[-1].removeprefix(f"{script}: ")


@pytest.mark.parametrize(
    "script", ["build.sh", "run.sh", "attach.sh", "exec.sh", "tensorboard.sh", "mlflow.sh"]
)
def test_no_engine(host: Host, script: str) -> None:
    host.say("no_engine", "")
    assert "the Docker engine does not answer" in told(host, script)


def test_no_permission(host: Host) -> None:
    host.say("no_engine", "")
    host.say("info", "permission denied while trying to connect to the Docker daemon socket")
    assert "sudo usermod -aG docker" in told(host, "run.sh")


def test_no_docker(host: Host) -> None:
    (host.answers / "docker").unlink()
    for name in ("bash", "dirname", "readlink", "basename"):
        (host.answers / name).symlink_to(str(shutil.which(name)))
    assert told(host, "run.sh", PATH=str(host.answers)).startswith("docker is not on this machine")


def test_image_missing(host: Host) -> None:
    (host.answers / "image").unlink()
    assert told(host, "run.sh") == "there is no image patchsets: build it with docker/build.sh"


def test_image_of_somebody_else(host: Host) -> None:
    host.say("image", "4242\n")
    assert "made for user 4242" in told(host, "run.sh")


def test_container_exists(running: Host) -> None:
    assert "the container patch_sets is running already: docker/attach.sh" in told(running, "run.sh")
    assert not running.calls("create") and not running.calls("rm")


@pytest.mark.parametrize("script", ["attach.sh", "exec.sh", "tensorboard.sh", "mlflow.sh", "jupyter.sh"])
def test_no_container_or_a_stopped_one(host: Host, script: str) -> None:
    assert told(host, script) == "there is no container patch_sets: start one with docker/run.sh"
    host.say("state", "exited\n")
    assert "patch_sets is exited, not running: start a new one with docker/run.sh" in told(host, script)


@pytest.mark.parametrize("error", [TAKEN, TAKEN_BY_HOST])
@pytest.mark.parametrize("terminal", [False, True])
def test_port_taken(host: Host, error: str, terminal: bool) -> None:
    host.say("start_error", error)
    line = told(host, "run.sh", notes=2 if terminal else 3, terminal=terminal)
    assert line.startswith("port 6006 is taken; free it, or choose with MLFLOW_PORT, TENSORBOARD_PORT")
    assert not (host.answers / "state").exists()


def test_gpu_asked_for_and_not_there(host: Host) -> None:
    host.say("start_error", NO_GPU)
    line = told(host, "run.sh", notes=3, GPUS="all")
    assert line.startswith("the engine could not give a GPU (GPUS=none starts without): could not select")
    assert not (host.answers / "state").exists()


def test_data_set_that_is_no_folder(host: Host) -> None:
    assert told(host, "run.sh", DATASET="/nowhere/at all") == "DATASET=/nowhere/at all is not a folder"
    assert not host.calls("create")


def test_data_set_unset_is_said(host: Host) -> None:
    assert "DATASET is not set, so there is no /dataset" in host("run.sh").stderr


@pytest.mark.parametrize("value", ["x", "70000", "-1"])
def test_port_that_is_none(running: Host, value: str) -> None:
    assert told(running, "tensorboard.sh", value) == f"'{value}' is not a port (1 to 65535)"
    (running.answers / "state").unlink()
    assert told(running, "run.sh", MLFLOW_PORT=value) == f"MLFLOW_PORT={value} is not a port (0 to 65535)"


def test_port_not_published(running: Host) -> None:
    line = told(running, "tensorboard.sh", "7000")
    assert line == "port 7000 of the container is not published; these are: 5000 6006 8888"


def test_port_with_a_server_on_it(running: Host) -> None:
    running.say("ports", "6000/tcp -> 127.0.0.1:6000\n")
    running.say("sockets", LISTENS)
    assert "something already listens on port 6000 of the container" in told(
        running, "tensorboard.sh", "6000"
    )


def test_gpus_misspelt(host: Host) -> None:
    assert told(host, "run.sh", notes=1, GPUS="yes") == "GPUS=yes is none of auto, all, none and device=0,1"


@pytest.mark.parametrize(
    ("script", "advice"), [("attach.sh", "docker/exec.sh"), ("exec.sh", "give a command")]
)
def test_no_terminal(running: Host, script: str, advice: str) -> None:
    assert advice in told(running, script)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nDATASET /x\n", "line 2: not NAME=value"),
        ('A="two\nlines"\nB="open\n', "line 3: a quote is not closed"),
        ("A='x' y\n", "line 1: something follows the closing quote"),
    ],
)
def test_env_that_cannot_be_read(host: Host, text: str, line: str) -> None:
    (host.workspace / ".env").write_text(text)
    assert told(host, "run.sh") == f"{host.workspace}/.env, {line}"
    assert not host.calls("create")

"""What each script tells docker, word for word."""

import os
import re
from pathlib import Path

import pytest
from pretend_host import Host

UID, GID = str(os.getuid()), str(os.getgid())
CREATE = (
    "create --name patch_sets --interactive --tty --init --pull never --shm-size 8g --env TZ=Asia/Tokyo "
    "--mount type=volume,source=patch_sets_history,target=/home/dev/.history "
    "--publish 127.0.0.1:5000:5000 --publish 127.0.0.1:6006:6006 --publish 127.0.0.1:8888:8888"
)


def bind(folder: Path, target: str) -> str:
    quoted = str(folder).replace('"', '""')
    return f'type=bind,"source={quoted}",target={target}'


def created(host: Host) -> list[str]:
    (call,) = host.calls("create")
    return call


def served(host: Host) -> list[str]:
    """Return the call that served, without the script that keeps the server in the container."""
    call = host.calls("exec")[-1]
    keeper = call.index("keeper")
    assert call[keeper - 3 : keeper - 1] == ["sh", "-c"]
    return call[: keeper - 3] + call[keeper + 2 :]


def test_build(host: Host) -> None:
    host("build.sh", "--no-cache")
    dockerfile = str(host.workspace / "docker/Dockerfile")
    users = ["--build-arg", f"USER_UID={UID}", "--build-arg", f"USER_GID={GID}"]
    expected = [
        "build",
        "--tag",
        "patchsets",
        "--file",
        dockerfile,
        *users,
        "--no-cache",
        str(host.workspace),
    ]
    assert host.calls("build") == [expected]


def test_build_for_the_user_who_called_sudo_and_for_a_rootless_engine(host: Host) -> None:
    host("build.sh", SUDO_UID="1005", SUDO_GID="20")
    host.say("info", '{"SecurityOptions":["name=seccomp","name=rootless"]}')
    host("build.sh")
    first, second = host.calls("build")
    assert "USER_UID=1005" in first and "USER_GID=20" in first
    assert "USER_UID=0" in second and "USER_GID=0" in second


def test_run_creates_then_starts(host: Host) -> None:
    done = host("run.sh")
    mount = ["--mount", bind(host.workspace, "/workspace")]
    assert created(host) == [*CREATE.split(), *mount, "--stop-signal", "SIGHUP", "patchsets", "fish"]
    assert host.calls("start") == [["start", "patch_sets"]]
    assert "GPU: none, the Docker engine offers none: starting on the CPU\n" in done.stderr
    assert done.returncode == 0


def test_run_attaches_on_a_terminal(host: Host) -> None:
    host("run.sh", terminal=True)
    assert host.calls("start") == [["start", "--attach", "--interactive", "patch_sets"]]


def test_run_passes_a_command_on_as_it_is(host: Host) -> None:
    words = ["python", "-c", "a  b", "", "$HOME", "*", "--help", 'q"q']
    host("run.sh", *words)
    assert created(host)[-len(words) - 1 :] == ["patchsets", *words]


def test_run_mounts_the_data_set(host: Host) -> None:
    folder = host.workspace.parent / 'my "data", ü: 1'
    folder.mkdir()
    host("run.sh", DATASET=folder.name)
    call = created(host)
    assert bind(folder, "/dataset") in call
    assert "DATASET=/dataset" in call


def test_variables_of_env_travel_in_the_environment(host: Host) -> None:
    data = host.workspace / "images"
    data.mkdir()
    lines = [
        'export NEPTUNE_API_TOKEN="se cret#1"  # mine',
        "DATASET=images",
        "MLFLOW_PORT=15000",
        "SHM_SIZE='1g'",
        "JUPYTER_TOKEN=",
        "http_proxy=http://proxy",
        "image=other",
        "UID=99",
        "PATH=/nowhere",
        'TWO="a\nb"',
    ]
    (host.workspace / ".env").write_text("\n".join(lines))
    host("run.sh", http_proxy="http://mine")
    call, environment = created(host), host.environment()
    assert not any("cret" in word for word in call)
    names = [call[i + 1] for i, word in enumerate(call) if word == "--env" and "=" not in call[i + 1]]
    assert names == ["NEPTUNE_API_TOKEN", "MLFLOW_PORT", "SHM_SIZE", "http_proxy", "image", "TWO"]
    assert environment["NEPTUNE_API_TOKEN"] == "se cret#1"
    assert environment["TWO"] == "a\nb"
    assert environment["http_proxy"] == "http://mine"  # the shell wins
    assert "127.0.0.1:15000:5000" in call
    assert call[call.index("--shm-size") + 1] == "1g"
    assert bind(data, "/dataset") in call
    assert call[-2:] == ["patchsets", "fish"]


def test_a_secret_of_the_shell_alone_is_passed_too(host: Host) -> None:
    host("run.sh", NEPTUNE_API_TOKEN="x", SOMETHING="else")
    call = created(host)
    assert "NEPTUNE_API_TOKEN" in call and "SOMETHING" not in call


@pytest.mark.parametrize(
    ("engine", "gpus", "options", "line"),
    [
        ('{"Runtimes":{"nvidia":{"path":"n"}}}', "", ["--gpus", '"all"'], "GPU: all"),
        ('{"Runtimes":{"nvidia":{"path":"n"}}}', "none", [], "GPU: none, as asked"),
        ('{"Runtimes":{"nvidia":{"path":"n"}}}', "device=0,2", ["--gpus", '"device=0,2"'], "GPU: device=0,2"),
        (
            '{"DiscoveredDevices":[{"ID":"nvidia.com/gpu=0"}]}',
            "auto",
            ["--device", "nvidia.com/gpu=all"],
            "GPU: all",
        ),
        (
            '{"DiscoveredDevices":[{"ID":"nvidia.com/gpu=0"}]}',
            "device=0,1",
            ["--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=1"],
            "GPU: device=0,1",
        ),
        ('{"Runtimes":{}}', "all", ["--gpus", '"all"'], "GPU: all"),
    ],
)
def test_gpus(host: Host, engine: str, gpus: str, options: list[str], line: str) -> None:
    host.say("info", engine)
    done = host("run.sh", "nvidia-smi", GPUS=gpus)
    assert f"{line}\n" in done.stderr
    assert created(host)[len(CREATE.split()) + 2 : -2] == options


def test_an_ended_container_is_replaced(host: Host) -> None:
    host.say("state", "exited\n")
    done = host("run.sh")
    assert "Removing the container patch_sets that ended earlier." in done.stderr
    assert host.calls("rm") == [["rm", "patch_sets"]]
    assert created(host)


def test_scripts_work_through_a_link_and_from_anywhere(host: Host, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "start"
    link.symlink_to(host.workspace / "docker" / "run.sh")
    host("../elsewhere/start", cwd=tmp_path / "bin")
    assert bind(host.workspace, "/workspace") in created(host)


def test_attach_and_exec(running: Host) -> None:
    assert running("attach.sh", terminal=True).returncode == 0
    assert running.calls("attach") == [["attach", "patch_sets"]]
    assert running("exec.sh", "ls", "a b", "").returncode == 7
    running("exec.sh", terminal=True)
    assert running.calls("exec") == [
        ["exec", "--interactive", "patch_sets", "ls", "a b", ""],
        ["exec", "--interactive", "--tty", "--detach-keys", "ctrl-q,ctrl-q", "patch_sets", "fish"],
    ]


def test_tensorboard(running: Host) -> None:
    done = running("tensorboard.sh", "8888")
    command = "tensorboard --logdir /opt/runs --host 0.0.0.0 --port 8888"
    assert served(running) == ["exec", "-i", "patch_sets", *command.split()]
    assert done.stderr == "TensorBoard: http://127.0.0.1:18888\n"


def test_mlflow_serves_the_store_of_the_loggers(running: Host) -> None:
    done = running("mlflow.sh")
    command = (
        "exec -i --env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false patch_sets "
        "mlflow server --host 0.0.0.0 --port 5000 --workers 1 "
        "--backend-store-uri sqlite:////workspace/mlruns/mlflow.db --no-serve-artifacts "
        "--default-artifact-root /workspace/mlruns/artifacts"
    )
    assert served(running) == command.split()
    assert "MLflow: http://127.0.0.1:15000 " in done.stderr


JUPYTER = (
    "jupyter lab --ip 0.0.0.0 --port 8888 --ServerApp.port_retries=0 --no-browser "
    "--ServerApp.root_dir=/workspace --ServerApp.custom_display_url=http://127.0.0.1:18888/lab"
)


def test_jupyter_makes_a_token(running: Host) -> None:
    done = running("jupyter.sh")
    assert served(running) == ["exec", "-i", "--env", "JUPYTER_TOKEN", "patch_sets", *JUPYTER.split()]
    token = running.environment()["JUPYTER_TOKEN"]
    assert re.fullmatch("[0-9a-f]{48}", token)
    assert done.stderr == f"JupyterLab: http://127.0.0.1:18888/lab?token={token}\n"


def test_jupyter_keeps_a_token_of_ones_own_and_root_only_where_root_is_the_caller(running: Host) -> None:
    running.say("token", "")
    running.say("info", '{"SecurityOptions":["name=rootless"]}')
    done = running("jupyter.sh")
    assert served(running) == ["exec", "-i", "patch_sets", *JUPYTER.split(), "--allow-root"]
    assert "token: JUPYTER_TOKEN" in done.stderr


def test_nothing_dangerous_is_ever_asked_for(host: Host) -> None:
    text = "".join(path.read_text() for path in sorted((host.workspace / "docker").glob("*.sh")))
    for word in (
        "--privileged",
        "--network",
        "--net",
        "--ipc",
        "docker.sock",
        "DOCKER_BUILDKIT",
        "--volume ",
    ):
        assert word not in text.replace("# --volume would", ""), word


def test_names_can_be_changed_for_a_second_checkout(host: Host) -> None:
    host("run.sh", PATCHSETS_CONTAINER="second", PATCHSETS_IMAGE="other")
    call = created(host)
    assert call[:3] == ["create", "--name", "second"] and call[-2:] == ["other", "fish"]
    assert "type=volume,source=second_history,target=/home/dev/.history" in call


@pytest.mark.parametrize("script", ["build", "run", "attach", "exec", "tensorboard", "mlflow", "jupyter"])
def test_help_needs_no_engine(host: Host, script: str) -> None:
    done = host(f"{script}.sh", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"docker/{script}.sh")
    assert "shellcheck" not in done.stdout
    assert not host.calls("info")

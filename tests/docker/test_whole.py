"""The whole thing for real (`make test-docker`): build, run, train, look at it, stop, nothing left.

BASE_IMAGE names another base; without one and without a registry, root's debootstrap makes it.
"""

import csv
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import whole
from engine import EngineHost, docker, wait_until
from packaging.requirements import Requirement

pytestmark = [
    pytest.mark.skipif("PATCHSETS_TEST_DOCKER" not in os.environ, reason="minutes long: make test-docker"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
IMAGE, BASE, CONTAINER = "patchsets-test", "patchsets-test-base", "patch_sets_test"
VERSIONS = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
COMPILE = "import torch; print(torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(3)).sum().item())"
TRAIN = ["python", "src/train.py", "hparams.max_epochs=1", "loggers=[tensorboard,mlflow]"]
SHARE = """
import torch
from torch.utils.data import DataLoader
print(sum(len(batch) for batch in DataLoader(torch.zeros(32, 3, 1024, 1024), batch_size=8, num_workers=2)))
"""

IMAGES = """
from pathlib import Path
from PIL import Image
from sklearn.datasets import load_digits
Path("images").mkdir()
for number, digit in enumerate(load_digits().images[:4]):
    Image.fromarray((digit * 15).astype("uint8")).save(f"images/{number}.png")
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="patchsets-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def host(folder: Path, engine: str) -> Iterator[EngineHost]:
    """The image, built by the script as a user who is not root, and that user's workspace."""
    if engine:
        pytest.skip(engine)
    user, group, groups = os.getuid(), os.getgid(), []
    if user == 0:
        user, group, groups = whole.USER, whole.USER, [Path("/var/run/docker.sock").stat().st_gid]
    (folder / "home").mkdir()
    workspace = whole.checkout(folder / "home", user, 'NEPTUNE_API_TOKEN="very secret"\n')
    host = EngineHost(workspace, IMAGE, CONTAINER, user, group, groups)
    try:
        build(host, folder)
        yield host
    finally:
        host.remove()
        docker("image", "rm", "--force", IMAGE, BASE, check=False)


def build(host: EngineHost, folder: Path) -> None:
    base = os.environ.get("BASE_IMAGE", "")
    if not base and os.getuid() == 0 and shutil.which("debootstrap"):
        base = whole.debootstrapped(folder, BASE)
    with whole.wheels() as arguments:
        host.build_arguments = {**arguments, **({"BASE_IMAGE": base} if base else {})}
        pairs = [f"{name}={text}" for name, text in host.build_arguments.items()]
        done = host("build.sh", *(word for pair in pairs for word in ("--build-arg", pair)))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def running(host: EngineHost) -> EngineHost:
    """The container, started without a terminal."""
    done = host("run.sh")
    assert done.returncode == 0, done.stderr
    return host


def inside(host: EngineHost, *words: str) -> str:
    done = host("exec.sh", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def fetch(url: str, body: dict[str, object] | None = None, host: str = "") -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def answers(url: str) -> bool:
    with suppress(OSError):
        return fetch(url)[0] > 0
    return False


def test_exactly_the_versions_of_the_lock(running: EngineHost) -> None:
    found = [line.split(" ") for line in inside(running, "python", "-c", VERSIONS).splitlines()]
    installed = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in found}
    python = inside(running, "python", "-c", "import platform; print(platform.python_version())")
    lines = (running.workspace / "requirements.lock").read_text().splitlines()
    wanted = [Requirement(lines[0].removeprefix("# then: "))]
    wanted += [Requirement(line.rstrip(" \\")) for line in lines if line[0].isalnum()]
    environment = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    here = [each for each in wanted if each.marker is None or each.marker.evaluate(environment)]
    assert len(here) > 100
    wrong = {
        str(each): installed.get(each.name)
        for each in here
        if installed.get(each.name, "") not in each.specifier
    }
    assert not wrong


def test_no_secret_in_the_image(host: EngineHost) -> None:
    words = ["run", "--rm", "--pull", "never", host.image, "ls", "-A", "/workspace"]
    assert docker(*words) == ""
    assert "secret" not in docker("history", "--no-trunc", host.image)
    assert "secret" not in docker("image", "inspect", host.image)


def test_user_shared_memory_and_compiler(running: EngineHost) -> None:
    assert inside(running, "python", "-c", "import getpass; print(getpass.getuser())") == "dev"
    assert inside(running, "sh", "-c", "echo $HOME; touch $HOME/x && id -u") == f"/home/dev\n{running.user}"
    assert inside(running, "bash", "-lc", "command -v python") == "/opt/venv/bin/python"
    assert inside(running, "df", "--output=size", "-BG", "/dev/shm").split()[-1] == "8G"
    assert inside(running, "sh", "-c", "ls /opt/venv/lib/*/site-packages/torch/__pycache__ | head -1")
    assert inside(running, "python", "-c", SHARE) == "32"
    assert inside(running, "python", "-c", COMPILE) == "3.0"


def test_train_inside(running: EngineHost) -> None:
    assert "test/accuracy" in inside(running, *TRAIN)
    (run,) = (running.workspace / "outputs/patch_sets").glob("2*")
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert "not written" not in (run / "train.log").read_text()
    assert (run / "model/model.pt2").is_file()
    owners = {path.lstat().st_uid for path in running.workspace.rglob("*")}
    assert owners == {running.user}


def test_what_the_run_left_is_used_inside(running: EngineHost) -> None:
    """The registry, inference from it, and ONNX."""
    latest = "run=outputs/patch_sets/latest"
    inside(running, "python", "-c", IMAGES)
    said = inside(running, "python", "src/register.py", latest, "name=digits", "alias=champion")
    assert "models:/digits/1, models:/digits@champion" in said
    words = ["model=models:/digits@champion", "input=images", "output=answers"]
    assert "4 images by digits version 1" in inside(running, "python", "src/inference.py", *words)
    inside(running, "python", "src/export.py", latest, "output=digits.onnx")
    words = ["model=digits.onnx", "input=images", "output=answers_of_onnx"]
    assert "4 images by digits.onnx" in inside(running, "python", "src/inference.py", *words)
    tables = [running.workspace / place / "predictions.csv" for place in ("answers", "answers_of_onnx")]
    rows = [list(csv.DictReader(path.read_text().splitlines())) for path in tables]
    classes, of_onnx = ([row["class"] for row in table] for table in rows)
    assert classes == of_onnx and len(classes) == 4


def test_mlflow_shows_the_run(running: EngineHost) -> None:
    with running.start("mlflow.sh") as script:
        url = f"http://{running.address(5000)}"
        wait_until(lambda: answers(url), "MLflow answers", 120)
        status, text = fetch(f"{url}/api/2.0/mlflow/experiments/search", {"max_results": 10})
        assert status == 200 and "patch_sets" in text
        assert fetch(url, host="elsewhere.example")[0] == 403
        script.terminate()
        assert script.wait() == 143
    wait_until(lambda: not running.processes(), "nothing is left in the container", 5)


def test_tensorboard_shows_the_run(running: EngineHost) -> None:
    with running.start("tensorboard.sh") as script:
        url = f"http://{running.address(6006)}/data/runs"
        wait_until(
            lambda: answers(url) and "outputs/patch_sets" in fetch(url)[1], "TensorBoard shows the run", 120
        )
        script.terminate()
        script.wait()
    wait_until(lambda: not running.processes(), "nothing is left in the container", 5)


def test_jupyter_wants_its_token(running: EngineHost) -> None:
    terminal = running.terminal("jupyter.sh")
    terminal.expect(r"JupyterLab: (http://127.0.0.1:\d+/)lab\?token=([0-9a-f]+)")
    assert terminal.match is not None
    url, token = terminal.match.groups()
    assert url == f"http://{running.address(8888)}/"
    wait_until(lambda: answers(url), "JupyterLab answers", 120)
    assert fetch(f"{url}api/contents")[0] == 403
    assert fetch(f"{url}api/contents?token=")[0] == 403
    status, text = fetch(f"{url}api/contents?token={token}")
    assert status == 200 and '"outputs"' in text
    terminal.sendintr()
    terminal.wait()
    terminal.close()
    wait_until(lambda: not running.processes(), "nothing is left in the container", 5)


def test_f5_inside(running: EngineHost) -> None:
    test = "tests/vscode/test_launch.py::test_breakpoints_in_the_data_pipeline_and_the_training_step"
    assert "1 passed" in inside(running, "python", "-m", "pytest", test)


def test_shells_keep_their_history_and_stop_at_once(host: EngineHost) -> None:
    for shell, prompt, recall in (("fish", "> ", "history | cat"), ("bash", r"\$ ", "history")):
        docker("rm", "--force", host.container, check=False)
        terminal = host.terminal("run.sh", shell)
        terminal.expect(prompt)
        terminal.send(f"echo of-{shell}\r")
        terminal.expect_exact(f"of-{shell}\r\n")
        terminal.expect(prompt)
        docker("stop", host.container)
        assert docker("container", "inspect", "--format", "{{.State.ExitCode}}", host.container) != "137"
        terminal.close()
        docker("rm", host.container)
        terminal = host.terminal("run.sh", shell)
        terminal.expect(prompt)
        terminal.send(f"{recall}\r")
        terminal.expect_exact(f"echo of-{shell}")
        terminal.close()


def test_completion_from_the_first_prompt(host: EngineHost) -> None:
    if not (host.workspace / "hydra/tab_completion_fish").exists():
        pytest.skip("hydra/tab_completion_fish is not there")
    docker("rm", "--force", host.container, check=False)
    terminal = host.terminal("run.sh")
    terminal.expect("> ")
    terminal.send("python src/train.py hparams.batch\t")
    terminal.expect_exact("hparams.batch_size=")
    terminal.close()


def test_devcontainer(host: EngineHost, folder: Path) -> None:
    command = shutil.which("devcontainer")
    if not command:
        pytest.skip("no devcontainer CLI: npm install -g @devcontainers/cli")
    data = folder / "home" / "data"
    data.mkdir()
    (data / "here").touch()
    (host.workspace / ".env").write_text('DATASET="~/data"  # mine\n')
    text = (host.workspace / ".devcontainer/devcontainer.json").read_text()
    override = json.loads(text.replace("patch_sets_history", f"{host.container}_history"))
    override["build"]["args"] = {
        **host.build_arguments,
        "USER_UID": str(host.user),
        "USER_GID": str(host.group),
    }
    (folder / "home/devcontainer.json").write_text(json.dumps(override))
    words = [f"--workspace-folder={host.workspace}", f"--override-config={folder}/home/devcontainer.json"]

    def devcontainer(*words: str) -> str:
        run = host.run([command, *words], HOME=str(folder / "home"))
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    container = json.loads(devcontainer("up", *words).splitlines()[-1])["containerId"]
    image = docker("container", "inspect", "--format", "{{.Config.Image}}", container)
    try:
        done = devcontainer(
            "exec", *words, "sh", "-c", "id -un; ls /dataset; touch /workspace/from_devcontainer; pwd"
        )
        assert done.split() == ["dev", "here", "/workspace"]
        assert (host.workspace / "from_devcontainer").stat().st_uid == host.user
    finally:
        docker("rm", "--force", container)
        docker("image", "rm", "--force", image, image.removesuffix("-uid"))


def test_nothing_is_left(host: EngineHost) -> None:
    host.remove()
    assert docker("ps", "--all", "--quiet", "--filter", f"name={host.container}") == ""
    assert f"{host.container}_history" not in docker("volume", "ls", "--quiet")

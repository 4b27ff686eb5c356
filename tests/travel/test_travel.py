"""Runs of every kind, repeated elsewhere from their records alone; and planted differences, named right.

Each of eight kinds of run is repeated from a folder that was moved, by a clone of the workspace at another
commit, from a zip in an empty folder where only uv is, and from an MLflow server when all else is gone.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from in_process import make_folder
from mlflow_server import Server
from whole_command import QUICK, ROOT

from workbench.run.folder import mlflow_id

pytestmark = pytest.mark.skipif(not os.environ.get("PATCHSETS_TEST_TRAVEL"), reason="make test-travel")

FEW = ["hparams.image_size=32", *(f"+data.{name}=4" for name in ("train", "val", "per_kind"))]
DETECTOR = [*FEW, "hparams.max_epochs=1", "save_model=false"]
MINE = """
from torch import Tensor, nn
from patchsets.set_module import Sets


class Mine(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.read = nn.Linear(in_features, out_features)

    def forward(self, sets: Sets) -> Tensor:
        padded, real = sets.with_values(self.read(sets.values)).padded()
        return (padded * real[..., None]).sum(dim=1)
"""
YAML = "_target_: {place}.Mine\n"


@dataclass
class Kind:
    """A kind of run: its words, and what its workspace or environment has beyond a clone."""

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A clone of this workspace with its uncommitted changes."""
    folder = tmp_path / "workspace"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    for part in ("src", "config"):
        shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
    return folder


def make(kind: str, workspace: Path, tmp_path: Path) -> Kind:
    """Prepare a kind of run."""
    if kind == "digits":
        return Kind(QUICK)
    if kind == "folder":
        return Kind([*QUICK, "data=folder", f"data.root={make_folder(tmp_path / 'images')}"])
    if kind in ("autoencoder", "patch_memory"):
        return Kind([*DETECTOR, f"task={kind}"])
    if kind == "trial":
        return Kind([*QUICK, "hparams.width=8,16", "-m", f"hydra.sweep.dir={tmp_path}/sweep"])
    if kind == "ranks":
        return Kind([*QUICK, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"])
    if kind == "untracked":
        (workspace / "src/patchsets/model/mine.py").write_text(MINE)
        (workspace / "config/model/mine.yaml").write_text(YAML.format(place="patchsets.model.mine"))
        return Kind(["hparams.max_epochs=1", "save_model=false", "model=mine"])
    package = tmp_path / "lib" / "own_nets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(MINE)
    (workspace / "config/model/mine.yaml").write_text(YAML.format(place="own_nets.net"))
    changed = workspace / "src/patchsets/data/digits.py"
    changed.write_text(changed.read_text().replace("val_fraction: float = 0.1", "val_fraction: float = 0.15"))
    words = ["hparams.max_epochs=1", "save_model=false", "model=mine", "trusted_targets=[own_nets.]"]
    return Kind(words, {"PYTHONPATH": str(package.parent)})


KINDS = ("digits", "folder", "autoencoder", "patch_memory", "trial", "ranks", "untracked", "dirty")


def train(workspace: Path, words: list[str], environment: dict[str, str], before: Sequence[str] = ()) -> str:
    command = [*before, sys.executable, str(workspace / "src/train.py"), *words]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_out_the_same_wherever_it_is_repeated(
    kind: str, workspace: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    made = make(kind, workspace, tmp_path)
    train(workspace, [*made.words, "loggers=mlflow", f"outputs={tmp_path}/outputs"], made.environment)
    found = sorted((tmp_path / "sweep").glob("1/config.yaml")) or sorted(
        tmp_path.glob("outputs/*/2*/config.yaml")
    )
    run = found[0].parent
    run_id = mlflow_id(run)
    zipped = tmp_path / "zipped" / "run.zip"
    zipped.parent.mkdir()
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in run.rglob("*"):
            archive.write(path, path.relative_to(run.parent))
    moved = tmp_path / "moved 場所" / "run"
    moved.parent.mkdir()
    run.rename(moved)
    shutil.rmtree(workspace)
    shutil.rmtree(tmp_path / "lib", ignore_errors=True)
    repeat(ROOT, moved, tmp_path / "again moved")
    repeat(other_commit(tmp_path / "clone"), moved, tmp_path / "again cloned")
    shutil.rmtree(moved)
    repeat_with_uv_alone(zipped)
    zipped.unlink()
    repeat(ROOT, f"mlflow:{run_id}", tmp_path / "again from mlflow")


def run_of(kind: str, folder: Path) -> Path:
    """Return the run that was made, of a sweep its second trial."""
    pattern = "sweep/1/config.yaml" if kind == "trial" else "outputs/*/2*/config.yaml"
    (config,) = folder.glob(pattern)
    return config.parent


def other_commit(folder: Path) -> Path:
    """Clone the workspace, and change there what a run would notice."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    shutil.copytree(ROOT / "src", folder / "src", dirs_exist_ok=True)
    model = folder / "src/patchsets/data/digits.py"
    model.write_text(model.read_text().replace("split_seed: int = 0", "split_seed: int = 7"))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "commit", "-qam", "another"], check=True)
    return folder


def repeat(workspace: Path, run: object, output: Path) -> None:
    command = [sys.executable, str(workspace / "src/repeat.py"), str(run), f"output={output}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.endswith("verdict: the same, bit for bit\n"), done.stdout + done.stderr
    assert done.returncode == 0


def repeat_with_uv_alone(zipped: Path) -> None:
    """Do what README says, where there is no workspace and no Python but uv's."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    bare = zipped.parent / "bin"
    bare.mkdir()
    (bare / "uv").symlink_to(uv)
    kept = ("PIP_", "UV_", "SSL_", "XDG_", "HOME")
    environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    environment |= {"PATH": f"{bare}:{Path(sys.executable).resolve().parent}:/usr/bin:/bin"}
    lines = [
        "uv run --no-project python -m zipfile -e run.zip x",
        "uv run --no-project python -m zipfile -e x/*/code.zip code",
        "rm -r x",
        "uv run --no-project code/src/repeat.py run.zip output=again",
    ]
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], cwd=zipped.parent, env=environment,
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("verdict: the same, bit for bit\n"), done.stdout + done.stderr
    assert (zipped.parent / "again/.venv").is_dir()


PLANTED = {
    "code": (
        "src/patchsets/model/deep_sets.py",
        "src/workbench/train/base.py",
        "config/config.yaml",
        "src/new.py",
    ),
    "packages": ("tqdm", "numpy", "torch", "optuna"),
    "data": ("change", "remove", "add", "swap"),
    "seed": ("1", "2", "3", "4000000000"),
    "threads": ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "0", "1"),  # set to 1, or alone on a processor
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of images, with two threads."""
    folder = tmp_path_factory.mktemp("original")
    words = [*QUICK, "hparams.max_epochs=1", "data=folder", f"data.root={make_folder(folder / 'images')}"]
    train(ROOT, [*words, "loggers=[]", f"outputs={folder}/outputs"], {"OMP_NUM_THREADS": "2"})
    (config,) = folder.glob("outputs/*/2*/config.yaml")
    return config.parent


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("number", range(4))
def test_a_planted_difference_is_named(
    what: str, number: int, original: Path, workspace: Path, tmp_path: Path
) -> None:
    planted = PLANTED[what][number]
    environment, words = {"OMP_NUM_THREADS": "2"}, [f"repeat={original}", "loggers=[]"]
    before: list[str] = []
    if what == "code":
        place = workspace / planted
        place.write_text((place.read_text() if place.exists() else "") + "# another line\n")
    elif what == "packages":
        (tmp_path / "lib" / f"{planted}-0.0.1.dist-info").mkdir(parents=True)
        environment["PYTHONPATH"] = str(tmp_path / "lib")
    elif what == "data":
        words.append(f"data.root={other_images(original, tmp_path / 'images', planted)}")
    elif what == "seed":
        words.append(f"seed={planted}")
    elif planted.isdigit():
        environment, before = {}, ["env", "-u", "OMP_NUM_THREADS", "taskset", "-c", planted]
    else:
        environment[planted] = "1"
    printed = train(workspace, [*words, f"outputs={tmp_path}/outputs"], environment, before)
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("repetition")]
    named = [other for other in PLANTED if f"{other}: " in line]
    assert named == [what], line
    if what in ("code", "packages"):
        assert planted in line


def other_images(original: Path, folder: Path, how: str) -> Path:
    """Copy the images of the run, and change one."""
    shutil.copytree(original.parents[2] / "images", folder)
    one, other = folder / "dark/3.png", folder / "light/3.png"
    if how == "change":
        content = (folder / "dark/4.png").read_bytes()
        one.write_bytes(content[:-12] + content[-12:])
        from PIL import Image

        with Image.open(one) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(one)
    elif how == "remove":
        one.unlink()
    elif how == "add":
        from PIL import Image

        Image.new("L", (20, 20), 77).save(folder / "dark/new.png")
    else:
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    return folder


def test_a_verdict_is_kept(original: Path, tmp_path: Path) -> None:
    repeat(ROOT, original, tmp_path / "again")
    assert json.loads((tmp_path / "again/repeat.json").read_text())["same"]

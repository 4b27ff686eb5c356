"""src/repeat.py runs a run again from its folder alone, and says whether it came out the same."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from whole_command import QUICK, ROOT

from workbench.common.errors import UserError
from workbench.repeat import rebuild


def repeat(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src/repeat.py"), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose folder is all there is of it."""
    outputs = tmp_path_factory.mktemp("first") / "outputs"
    words = [*QUICK, "hparams.max_epochs=1", "loggers=[]", f"outputs={outputs}"]
    subprocess.run([sys.executable, str(ROOT / "src/train.py"), *words], capture_output=True, check=True)
    (folder,) = (path.parent for path in outputs.glob("patch_sets/2*/config.yaml"))
    return folder


def test_it_needs_nothing_but_python() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import repeat; print('whole')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "whole\n", done.stderr


def test_the_same_and_not_the_same(run: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "run.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in run.rglob("*"):
            archive.write(path, path.relative_to(run.parent))
    same = repeat(zipped, "output=again", folder=tmp_path)
    assert same.returncode == 0, same.stdout + same.stderr
    assert same.stdout.endswith("verdict: the same, bit for bit\n") and "which runs now" in same.stdout
    kept = json.loads((tmp_path / "again/repeat.json").read_text())
    assert kept["same"] and kept["made_differently"] == {}
    assert (tmp_path / "again/code/src/repeat.py").is_file()
    other = repeat(run, "output=other", "seed=5", folder=tmp_path)
    assert other.returncode == 1 and "in epoch 0 is the first to differ" in other.stdout, other.stdout
    assert json.loads((tmp_path / "other/repeat.json").read_text())["made_differently"] == {"seed": "0 and 5"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere", "run: nowhere is not a run folder"),
        (str(ROOT / "tests/runs_of_e4f38a4/sets"), "keeps no code.zip"),
        (str(ROOT / "README.md"), "is not a run folder"),
    ],
)
def test_what_cannot_be_repeated_is_said_in_one_line(tmp_path: Path, word: str, said: str) -> None:
    done = repeat(word, "output=again", folder=tmp_path)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "again").exists()


def test_a_build_that_the_index_lacks_is_replaced_by_the_same_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def install(python: Path, lines: list[str], *options: str) -> None:
        asked.append(lines)
        if any("+" in line for line in lines):
            raise UserError("no such build")

    monkeypatch.setattr(rebuild, "_uv", lambda *words: "")
    monkeypatch.setattr(rebuild, "_install", install)
    (tmp_path / "lock.txt").write_text("torch==2.13.0+cpu\nnumpy==2.0 \\\n    --hash=sha256:aa\n")
    rebuild.build_environment(tmp_path, tmp_path / "out")
    hashed = ["numpy==2.0 \\\n    --hash=sha256:aa"]
    assert asked == [hashed, ["torch==2.13.0+cpu"], ["torch==2.13.0"]]


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again/mine.txt").touch()
    done = repeat("nowhere", "output=again", folder=tmp_path)
    assert done.returncode == 2 and "again is not empty; name a new folder" in done.stderr

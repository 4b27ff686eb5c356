"""The README is true: its commands run, its examples work as they are printed, its paths exist."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import start, words_for
from whole_command import QUICK, ROOT, the_run

from workbench.config import composition
from workbench.search.grid import grid_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def shown_commands(begin: str = "python src/train.py") -> list[str]:
    """Return what README and docs/ show to be typed, each once."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    blocks = [text for page in texts for text in re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [re.split(r"\s{2,}#", line)[0].strip() for line in lines]
    return sorted({command for command in commands if command.startswith(begin)})


COMMANDS = shown_commands()


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for the commands that name an old one."""
    outputs = tmp_path_factory.mktemp("earlier")
    start(*QUICK, "loggers=[]", f"outputs={outputs}")
    return the_run(outputs)


def with_stand_ins(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a command the data it needs, and little of them, in place of what a user has."""
    deciding = [word for word in words if word.startswith("data=")] or words
    needed = [extra for word in deciding for extra in words_for(word, folder, monkeypatch)[1:]]
    needed = [word for word in needed if word.lstrip("+").startswith(("data.", "hparams."))]
    shown = [word for word in words if not word.startswith(("data.root=", "hparams.max_epochs="))]
    return [*shown, *needed, "hparams.max_epochs=3"]


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("command", shown_commands("python src/compare.py"))
def test_comparison_is_a_grid(command: str) -> None:
    composition.register()
    words = [word for word in shlex.split(command)[2:] if not word.startswith(("output=", "metric="))]
    words = [f"data.root={ROOT}" if word.startswith("data.root=") else word for word in words]
    assert len(grid_of(words)) > 1


@pytest.mark.parametrize("command", [command for command in COMMANDS if "-m" not in command.split()])
def test_command_runs(
    command: str, earlier_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    words = shlex.split(command)[2:]
    if "--cfg" in words:
        subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=ROOT, check=True, capture_output=True)
        return
    words = with_stand_ins(words, tmp_path, monkeypatch)
    run = tmp_path / "run"
    shutil.copytree(earlier_run, run)
    words = [word.replace("outputs/patch_sets/latest", str(run)) for word in words]
    if not any(word.startswith(("resume=", "debug=")) for word in words):
        words.append("debug=True")
    if any(word.startswith("init_from=") for word in words):
        words += QUICK  # the network those weights are of
    metrics = start(*words, f"outputs={tmp_path / 'outputs'}")
    assert "test/loss" in metrics


def test_the_printed_mistake_is_what_one_sees() -> None:
    shown = next(text for kind, text in BLOCKS if text.startswith("$ python"))
    command, answer = shown.strip().splitlines()
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[2:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == answer


def test_examples_to_add_ones_own_work_as_printed(tmp_path: Path) -> None:
    for part in ("src", "config"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    written = 0
    for _, text in BLOCKS:
        if place := re.search(r"^# ((?:src|config)/\S+)", text, flags=re.MULTILINE):
            (tmp_path / place[1]).write_text(text, encoding="utf-8")
            written += 1
    assert written == 6
    words = [
        "model=mine",
        "data=mine",
        "loggers=mine",
        "hparams.max_epochs=1",
        f"outputs={tmp_path / 'outputs'}",
    ]
    subprocess.run(
        [sys.executable, "src/train.py", *words], cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    mine = (the_run(tmp_path / "outputs") / "mine.txt").read_text()
    assert "train/loss" in mine


def test_paths_in_the_text_exist() -> None:
    tree = next(text for _, text in BLOCKS if text.startswith("config/ "))
    folder = Path()
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0] if line.startswith("  ") else line.split("   ")[0]
        names = [name for name in re.split(r"\s+", names.strip()) if "/" in name or "." in name]
        if not line.startswith(" "):
            folder = Path(names[0]) if names[0].endswith("/") else Path()
            names = names[:1] if folder != Path() else names
            assert (ROOT / names[0]).exists(), names[0]
            continue
        for name in names:
            assert (ROOT / folder / name).exists(), f"{folder}/{name}"
    for link in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / link).is_file(), link

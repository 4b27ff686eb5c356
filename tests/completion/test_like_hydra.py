"""The answers are Hydra's own: every key of the tree, cut at several points, behind several earlier words."""

import json
import os
import posix
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.completion import client

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "src/train.py")
EARLIER = ["-m ", "model=deep_sets ", "hparams.width=96 "]


def ask(line: str, shell: str = "fish") -> list[str]:
    """Ask as a shell does, in a process of its own."""
    tab = ROOT / "src/workbench/completion/tab.py"
    command = [
        sys.executable,
        "-I",
        "-S",
        str(tab),
        shell,
        str(os.getpid()),
        SCRIPT,
        f"python {SCRIPT} {line}",
        "",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()[1:]


def ask_here(line: str) -> list[str]:
    """Ask the same code, without a process for each line where the cache has the answer."""
    request = client.Request(["fish", str(os.getpid()), SCRIPT, f"python {SCRIPT} {line}", ""])
    found = client.from_cache(request)
    return ask(line) if found is None else found


def stock(lines: list[str]) -> dict[str, list[str]]:
    command = [sys.executable, str(Path(__file__).with_name("stock.py")), str(ROOT)]
    done = subprocess.run(command, input=json.dumps(lines), capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, for this process and those it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(posix.environ, b"XDG_CACHE_HOME", bytes(tmp_path))
    return tmp_path


def words_of_the_tree() -> list[str]:
    """Follow Hydra's own answers from the root to every key and every group."""
    known: dict[str, list[str]] = {}
    level = ["", "+", "~"]
    while level := [word for word in level if word not in known]:
        known |= stock(level)
        below = [candidate for word in level if "=" not in word for candidate in known[word]]
        level = [word if word[-1] in ".=/" else f"{word}{end}" for word in below for end in "=/"]
    return sorted(known)


def cut(word: str) -> list[str]:
    """The word whole, without its end, and after its first letter and half of its last part."""
    start = max(word.rfind(".", 0, -1), word.rfind("/", 0, -1)) + 1
    middle = (start + len(word)) // 2
    return [word, word[:-1], word[: start + 1], word[:middle]]


def test_every_key_as_hydra_answers(cache: Path) -> None:
    words = words_of_the_tree()
    lines = {part for word in words for part in cut(word)}
    lines |= {earlier + word for earlier in EARLIER for word in words if not word.startswith("hydra.")}
    chosen = sorted(lines)[::4]  # all take a minute
    assert len(chosen) > 250
    for earlier in ("", "model=deep_sets "):
        ask(earlier)  # fills the cache
    wrong = {}
    for line, theirs in stock(chosen).items():
        ours = ask_here(line)
        value = "=" in line.rpartition(" ")[2]
        printable = {candidate for candidate in theirs if candidate.isprintable()}
        if not (printable <= set(ours) if value else printable == set(ours)):
            wrong[line] = (theirs, ours)
    assert wrong == {}


@pytest.mark.parametrize(
    "line", ["", "hparams.", "model=", "hparams.batch_size=", "-m hydra/", "model=deep_sets mo"]
)
def test_the_stock_command_says_the_same(cache: Path, line: str) -> None:
    environment = {**os.environ, "COMP_LINE": f"python src/train.py {line}"}
    command = [sys.executable, SCRIPT, "-sc", "query=fish"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ask(line) == done.stdout.split()


def test_warming_ends_with_its_shell(cache: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    tab = ROOT / "src/workbench/completion/tab.py"
    for shell_process, written in ((gone.pid, 0), (os.getpid(), 1)):
        arguments = [str(tab), "warm", str(shell_process), SCRIPT, "", ""]
        subprocess.run([sys.executable, "-I", "-S", *arguments], check=True)
        assert len(list(cache.rglob("*.table"))) == written


def test_a_tab_loads_no_torch(cache: Path) -> None:
    miss = ROOT / "src/workbench/completion/miss.py"
    arguments = [str(miss), "", "fish", str(os.getpid()), SCRIPT, f"python {SCRIPT} hparams.optimizer=", ""]
    command = [sys.executable, "-X", "importtime", "-P", "-B", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "hparams.optimizer=AdamW" in done.stdout.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "omegaconf" in loaded
    assert not loaded & {"torch", "numpy", "pytorch_lightning", "mlflow", "optuna"}

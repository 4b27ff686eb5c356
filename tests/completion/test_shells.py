"""Keys typed into real shells, and the line that stands there after TAB."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Terminal
from waiting import processes_of, wait_until

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., Terminal]
RUN = "python src/train.py "

COMPLETED = {
    "half a key": (RUN + "hparams.op", RUN + "hparams.optimizer="),
    "half a root key": (RUN + "exp", RUN + "experiment_name="),
    "hydra's own key": (RUN + "hydra.sweep.sub", RUN + "hydra.sweep.subdir="),
    "a group's option": (RUN + "model=deep", RUN + "model=deep_sets "),
    "hydra's own group": (RUN + "hydra/launcher=bas", RUN + "hydra/launcher=basic "),
    "an option after a comma": (RUN + "model=deep_sets,set", RUN + "model=deep_sets,set_transformer "),
    "a list in quotes": (RUN + "'loggers=[tensorboard,ml", RUN + "'loggers=[tensorboard,mlflow]'"),
    "a value in quotes": (RUN + "loggers='[tensorboard,ml", RUN + "loggers='[tensorboard,mlflow]'"),
    "a key in quotes stays open": (RUN + "'hparams.op", RUN + "'hparams.optimizer="),
    "a boolean": (RUN + "debug=t", RUN + "debug=true "),
    "a boolean as Python writes it": (RUN + "debug=T", RUN + "debug=True "),
    "an optimizer of torch": (RUN + "hparams.optimizer=RA", RUN + "hparams.optimizer=RAdam "),
    "an optimizer of the table": (RUN + "hparams.optimizer=AdaB", RUN + "hparams.optimizer=AdaBound "),
    "an optimizer after a comma": (RUN + "hparams.optimizer=SGD,NA", RUN + "hparams.optimizer=SGD,NAdam "),
    "a schedule": (RUN + "hparams.schedule=one", RUN + "hparams.schedule=one_cycle "),
    "a metric to choose by": (RUN + "task.monitor=val/aur", RUN + "task.monitor=val/auroc "),
    "the weights to keep": (RUN + "hparams.keep=l", RUN + "hparams.keep=last "),
    "a run's folder": (RUN + "resume=outputs/fi", RUN + "resume=outputs/first/"),
    "a run": (RUN + "repeat=outputs/first/2", RUN + "repeat=outputs/first/2026-11-21_10-00-00_ab12 "),
    "a path": (RUN + "outputs=con", RUN + "outputs=config/"),
    "a path anywhere": (RUN + "experiment_name=./con", RUN + "experiment_name=./config/"),
    "an added group": (RUN + "+model=deep", RUN + "+model=deep_sets "),
    "a forced key": (RUN + "++hparams.op", RUN + "++hparams.optimizer="),
    "a flag": (RUN + "--multi", RUN + "--multirun "),
    "a flag's value": (RUN + "--cfg jo", RUN + "--cfg job "),
    "after another override": (
        RUN + "hparams.width=32 hparams.op",
        RUN + "hparams.width=32 hparams.optimizer=",
    ),
    "after a wrong override": (RUN + "no.such=1 hparams.op", RUN + "no.such=1 hparams.optimizer="),
    "after a quoted space": (RUN + "tags.a='b c:d' hparams.op", RUN + "tags.a='b c:d' hparams.optimizer="),
    "after -m": (RUN + "-m hparams.op", RUN + "-m hparams.optimizer="),
    "after -m and a sweep": (RUN + "-m seed=1,2 hparams.op", RUN + "-m seed=1,2 hparams.optimizer="),
    "python3": ("python3 src/train.py hparams.op", "python3 src/train.py hparams.optimizer="),
    "python's flags": ("python -u src/train.py hparams.op", "python -u src/train.py hparams.optimizer="),
    "with ./": ("python ./src/train.py hparams.op", "python ./src/train.py hparams.optimizer="),
    "the script itself": ("./src/train.py hparams.op", "./src/train.py hparams.optimizer="),
    "after a variable": ("A=1 " + RUN + "hparams.op", "A=1 " + RUN + "hparams.optimizer="),
    "after env": ("env A=1 " + RUN + "hparams.op", "env A=1 " + RUN + "hparams.optimizer="),
    "after a command": ("true; " + RUN + "hparams.op", "true; " + RUN + "hparams.optimizer="),
    "nothing to say": (RUN + "no_such_key", RUN + "no_such_key"),
}


@pytest.fixture(scope="session")
def shells_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with this Python as `python` and `python3`."""
    programs = tmp_path_factory.mktemp("bin")
    for name in ("python", "python3"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything a TAB reads, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("work") / "my work"
    for name in ("config", "hydra", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "outputs/first/2026-11-21_10-00-00_ab12").mkdir(parents=True)
    (folder / "outputs/first/2026-11-21_10-00-00_ab12/config.yaml").touch()
    return folder


@pytest.fixture(params=["bash", "fish"], scope="module")
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell that is installed."""
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def open_terminal(
    shell: str, workspace: Path, shells_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    """Open a shell in the workspace, completion switched on and its cache warm."""
    opened: list[Terminal] = []

    def start(folder: Path = workspace, warm: bool = True, **variables: str) -> Terminal:
        home = tmp_path_factory.mktemp("home")
        command = f"source '{workspace}/hydra/tab_completion_{shell}' src/train.py"
        opened.append(Terminal(shell, home, command, folder, PATH=shells_path, **variables))
        if warm:
            wait_until(lambda: any(home.rglob("*.table")))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture(scope="module")
def terminal(open_terminal: Open) -> Terminal:
    """One such shell, for tests that leave no trace."""
    return open_terminal()


@pytest.mark.parametrize("case", COMPLETED)
def test_completes(terminal: Terminal, case: str) -> None:
    typed, wanted = COMPLETED[case]
    if terminal.shell == "fish" and wanted.endswith("'"):
        wanted += " "  # fish goes on to the next word where bash leaves the cursor behind the quote
    assert terminal.tab(typed) == wanted
    printed = terminal.screen.replace("ready>", "")
    assert "rror" not in printed and "arning" not in printed and "Traceback" not in printed


def test_lists_the_keys_of_a_group(terminal: Terminal) -> None:
    assert {"hparams.batch_size=", "hparams.optimizer=", "hparams.width="} <= terminal.listed(
        RUN + "hparams."
    )


@pytest.mark.parametrize("place", ["config", "."])
def test_completes_from_any_directory(open_terminal: Open, workspace: Path, place: str) -> None:
    elsewhere = open_terminal(folder=workspace / place)
    script = os.path.relpath(workspace / "src/train.py", workspace / place)
    assert elsewhere.tab(f"python {script} hparams.op") == f"python {script} hparams.optimizer="
    absolute = str(workspace / "src/train.py").replace(" ", "\\ ")
    assert elsewhere.tab(f"python {absolute} hparams.op") == f"python {absolute} hparams.optimizer="


def test_shows_what_was_edited_just_now(open_terminal: Open, workspace: Path) -> None:
    terminal = open_terminal()
    option = workspace / "config/model/brand_new.yaml"
    option.write_text("_target_: patchsets.model.brand_new.BrandNew\n")
    assert terminal.tab(RUN + "model=bra") == RUN + "model=brand_new "
    option.unlink()
    assert terminal.tab(RUN + "model=bra") == RUN + "model=bra"


def test_runs_no_script(terminal: Terminal, workspace: Path) -> None:
    """Neither a stranger's, as Hydra 1.3's own bash completion does, nor the one it completes for."""
    ran = workspace / "ran"
    for name in ("stranger.py", "src/train.py"):
        script = workspace / name
        original = script.read_text() if script.exists() else ""
        script.write_text(f"open({str(ran)!r}, 'w')\n{original}")
        terminal.tab(f"python {name} hparams.op")
        terminal.tab(f"python {name} ")
        script.write_text(original)
    assert not ran.exists()


def test_shows_no_secret(open_terminal: Open, workspace: Path) -> None:
    option = workspace / "config/model/secretive.yaml"
    option.write_text(
        "api_key: ${oc.env:NEPTUNE_API_TOKEN}\nharmless: ${oc.env:HARMLESS}\n"
        "copied: a-${model.harmless}\nwritten: before-s3cr3t-t0k3n\npassword: hunter22\nnum_tokens: 12\n"
    )
    terminal = open_terminal(NEPTUNE_API_TOKEN="s3cr3t-t0k3n", HARMLESS="not-so-harmless")
    for key in ("api_key", "harmless", "copied", "written", "password"):
        typed = f"{RUN}model=secretive model.{key}="
        assert terminal.tab(typed) == typed
    assert terminal.tab(RUN + "model=secretive model.num_tokens=").strip().endswith("=12")
    kept = "".join(table.read_text() for table in terminal.home.rglob("*.table"))
    assert not any(secret in kept for secret in ("s3cr3t-t0k3n", "not-so-harmless", "hunter22"))
    option.unlink()


def test_a_broken_configuration_leaves_the_line_alone(open_terminal: Open, workspace: Path) -> None:
    option = workspace / "config/config.yaml"
    original = option.read_text()
    terminal = open_terminal()
    option.write_text("defaults: [no_such\n")
    assert terminal.tab(RUN + "hparams.op") == RUN + "hparams.op"
    shown = terminal.screen.replace("ready>", "").replace(RUN, "").replace("hparams.op", "").strip()
    option.write_text(original)
    assert shown in ("", RUN.strip())


def test_leaves_no_process_and_writes_only_its_cache(open_terminal: Open, workspace: Path) -> None:
    before = sorted(str(path) for path in workspace.rglob("*"))
    terminal = open_terminal(warm=False)
    terminal.close()
    wait_until(lambda: not processes_of(workspace), patience=5)
    terminal = open_terminal()
    terminal.tab(RUN + "model=deep_sets model.")
    assert sorted(str(path) for path in workspace.rglob("*")) == before
    cache = terminal.home / ".cache/patchsets"
    written = [path for path in cache.rglob("*") if path.is_file()]
    assert written and all(path.suffix in (".table", ".pyc") for path in written)


def test_the_folder_of_the_scripts_holds_no_python(workspace: Path) -> None:
    """A module there would take the name of the library."""
    assert not list((workspace / "hydra").rglob("*.py"))

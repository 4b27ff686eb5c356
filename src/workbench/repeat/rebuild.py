"""A run's code and environment, made again in a new folder from code.zip and lock.txt, and run there.

Imports the standard library alone: it works where nothing but Python and uv are installed.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.common.errors import ConfigError, UserError
from workbench.common.workspace import quoted
from workbench.run.snapshot import CODE, LOCK, OWN, PIN, plain_name, read_lock
from workbench.run.starts import environment_of, starts

# uv has names of its own for pip's settings.
PIP_TO_UV = {
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}


def take_run(name: str, output: Path) -> Path:
    """Return the run folder that a name means: a folder, a zip of one, `mlflow:<run id>`, or a run's name.

    What is no folder here is unpacked into `<output>/original`. Raises ConfigError where there is no run.
    """
    path = Path(name).expanduser()
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(output / "original")
        return _only_run(output / "original", name)
    if (path / "config.yaml").is_file():
        return path.resolve()
    try:
        from workbench.run.folder import find_folders, the_only
    except ImportError:  # of a package that is not installed where there is uv alone
        raise ConfigError(f"run: {name} is neither a run folder nor a zip of one") from None
    found = find_folders(name)
    if not found and name.startswith("mlflow:"):
        return _download(name.removeprefix("mlflow:"), output / "original")
    return the_only(found, name, "run")


def _only_run(folder: Path, name: str) -> Path:
    places = [
        path.parent for path in (folder / "config.yaml", *folder.glob("*/config.yaml")) if path.is_file()
    ]
    if len(places) != 1:
        raise ConfigError(f"run: {name} holds {len(places)} run folders; zip one")
    return places[0]


def _download(run_id: str, folder: Path) -> Path:
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        from workbench.tracking.mlflow import tracking_uri
    except ImportError as error:
        raise ConfigError(f"run: mlflow:{run_id} needs {error.name}: uv run --with mlflow ...") from error
    try:
        download_artifacts(run_id=run_id, dst_path=str(folder), tracking_uri=tracking_uri())
    except MlflowException as error:
        raise ConfigError(f"run: mlflow:{run_id} is not at {tracking_uri()}: {error.message}") from error
    return _only_run(folder, f"mlflow:{run_id}")


def unpack_code(run: Path, output: Path) -> Path:
    """Unpack the run's code into `<output>/code` and return that; nothing is run yet."""
    archive = run / CODE
    if not archive.is_file():
        raise ConfigError(
            f"run: {run} keeps no {CODE} (version 0.1 made it); python src/train.py repeat={run} runs it "
            "with the code of this workspace"
        )
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(output / "code")
    except zipfile.BadZipFile as error:
        raise UserError(f"run: {archive} is damaged: {error}") from error
    return output / "code"


def missing_here(run: Path) -> dict[str, str]:
    """Return the version that is here, or none, of each package that the run had in another version."""
    record: Mapping[str, Any] = environment_of(starts(run)[-1])
    here = {plain_name(each.name): each.version for each in importlib.metadata.distributions()}
    wanted = read_lock(run / LOCK)
    found = {name: here.get(name, "none") for name, version in wanted.items() if here.get(name) != version}
    python = ".".join(map(str, sys.version_info[:2]))
    if not str(record.get("python", f"{python}.")).startswith(f"{python}."):
        found["python"] = python
    return found


def build_environment(run: Path, output: Path) -> Path:
    """Install the run's Python and packages into `<output>/.venv` by uv; return its interpreter."""
    version = str(environment_of(starts(run)[-1]).get("python", "3.11"))
    versions = (version, version.rpartition(".")[0])  # exactly the run's, else one as near as there is
    venv = ("venv", "--quiet", "--python")
    if all(_uv(*venv, each, str(output / ".venv")) for each in versions):
        raise UserError(f"uv has no Python {version}: uv python install {version}")
    python = output / ".venv" / "bin" / "python"
    pins = PIN.findall((run / LOCK).read_text(encoding="utf-8"))
    _install(python, [f"{name}=={pin}{hashes}" for name, pin, hashes in pins if hashes], "--require-hashes")
    plain = [(name, pin) for name, pin, hashes in pins if not hashes]
    try:
        _install(python, [f"{name}=={pin}" for name, pin in plain])
    except UserError:  # a build such as torch 2.13.0+cpu, which not every index offers
        if not any("+" in pin for _, pin in plain):
            raise
        _install(python, [f"{name}=={pin.partition('+')[0]}" for name, pin in plain])
    return python


def _install(python: Path, lines: list[str], *options: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "requirements.txt")
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        words = ("--quiet", "--python", str(python), "--no-deps", *options, "-r", str(path))
        if lines and (error := _uv("pip", "install", *words)):
            raise UserError(f"uv pip install: {error}")


def _uv(*words: str) -> str:
    """Call uv with pip's settings under its own names; return what it says where it fails."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise UserError("the run had other packages than this Python, and uv is missing: pip install uv")
    settings = {theirs: os.environ[pips] for pips, theirs in PIP_TO_UV.items() if pips in os.environ}
    environment = settings | dict(os.environ)
    done = subprocess.run([uv, *words], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    return (done.stderr.strip() or str(done.returncode)) if done.returncode else ""


def run_again(run: Path, python: Path, code: Path, words: list[str], output: Path) -> Path:
    """Run the unpacked code on the run's own configuration; return the new run folder.

    Raises UserError, with the last line it printed, where it fails.
    """
    record: Mapping[str, Any] = environment_of(starts(run)[-1])
    path = os.pathsep.join(filter(None, [str(code / OWN), os.environ.get("PYTHONPATH", "")]))
    threads = {"OMP_NUM_THREADS": str(record["threads"])} if "threads" in record else {}
    there = Path(str(record.get("directory", "")))  # where relative paths of the configuration begin
    outputs = output / "outputs"
    command = [
        str(python),
        str(code / "src" / "train.py"),
        f"repeat={quoted(run.absolute())}",
        f"outputs={quoted(outputs.absolute())}",
    ]
    with (output / "console.txt").open("w", encoding="utf-8") as console:
        done = subprocess.run(
            [*command, "loggers=[]", *words],
            env={**threads, **os.environ, "PYTHONPATH": path},
            cwd=there if there.is_dir() else Path.cwd(),
            stdout=console,
            stderr=subprocess.STDOUT,
            check=False,
        )
    made = [path.parent for path in outputs.glob("*/*/config.yaml") if not path.parent.is_symlink()]
    if done.returncode or len(made) != 1:
        lines = (output / "console.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
        raise UserError(
            f"the repetition failed: {last.removeprefix('error: ')} (see {output / 'console.txt'})"
        )
    return made[0]

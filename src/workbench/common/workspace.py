"""Where the workspace is, and what its `.env` says; imports nothing heavy."""

import os
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@cache
def version() -> str:
    """Return the version of the workspace, by its own pyproject.toml: it need not be installed to be used."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def options(group: str) -> list[str]:
    """Return what one may choose from in a group of the configuration."""
    return sorted(path.stem for path in (ROOT / "config" / group).glob("*.yaml"))


@cache
def read_env(path: Path = ROOT / ".env") -> dict[str, str]:
    """Return the variables a `.env` file sets; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        from dotenv import dotenv_values
    except ImportError:  # of src/repeat.py, which runs with nothing installed
        return {}
    return {name: value for name, value in dotenv_values(path).items() if value}


def load_env(path: Path = ROOT / ".env") -> None:
    """Put the variables of a `.env` file into the environment; what is already set there wins."""
    for name, value in read_env(path).items():
        os.environ.setdefault(name, value)


def typed(path: Path) -> str:
    """Return a path as short as one can type it from the current directory, quoted for the shell."""
    return shlex.quote(str(shortest(path)))


def shortest(path: Path) -> Path:
    """Return a path relative to the current directory, where it lies there; that may be gone by now."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return path
    return path.relative_to(here) if path.is_relative_to(here) else path


def quoted(path: Path) -> str:
    """Return a path as the value of an override, in quotes where Hydra's grammar wants them."""
    if re.fullmatch(r"[A-Za-z0-9_./+@%-]+", str(path)):
        return str(path)
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

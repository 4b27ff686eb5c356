"""Where the workspace is, and what its `.env` says; imports nothing heavy."""

import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def options(group: str) -> list[str]:
    """Return what one may choose from in a group of the configuration."""
    return sorted(path.stem for path in (ROOT / "config" / group).glob("*.yaml"))


@cache
def read_env(path: Path = ROOT / ".env") -> dict[str, str]:
    """Return the variables a `.env` file sets; empty where there is none."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value}


def load_env(path: Path = ROOT / ".env") -> None:
    """Put the variables of a `.env` file into the environment; what is already set there wins."""
    for name, value in read_env(path).items():
        os.environ.setdefault(name, value)

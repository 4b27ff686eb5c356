"""The last lines of a run: its metrics, where everything is, and the command that shows it."""

import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path


def closing_table(folder: Path, metrics: dict[str, float], trackers: Collection[str]) -> str:
    """Return the table as text."""
    rows = [(name, f"{value:.4f}") for name, value in metrics.items()]
    rows.append(("run folder", typed(folder)))
    if (folder / "figures").is_dir():
        rows.append(("figures", typed(folder / "figures")))
    rows += [("look at it", command) for command in _commands(folder, trackers)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"  {name:<{width}}  {value}" for name, value in rows), ""])


def _commands(folder: Path, trackers: Collection[str]) -> Iterator[str]:
    if "tensorboard" in trackers:
        yield f"{_program('tensorboard')} --logdir {typed(folder.parent)}"
    if "mlflow" in trackers:
        from patchsets.tracking.mlflow import tracking_uri

        uri = tracking_uri()
        is_server = uri.startswith("http")
        yield uri if is_server else f"{_program('mlflow')} server --workers 1 --backend-store-uri {uri}"


def _program(name: str) -> str:
    """Return a program's name, with its folder where the environment is not activated."""
    return name if shutil.which(name) else typed(Path(sys.executable).parent / name)


def typed(path: Path) -> str:
    """Return a path as short as one can type it from the current directory."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))

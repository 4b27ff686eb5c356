"""A new folder that appears whole, or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.common.errors import ConfigError, DataError
from workbench.portable.pixels import shown


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a hidden empty folder beside; once it is filled it gets its name.

    What a killed process left there is removed. Raises ConfigError where the name is taken, or another
    process is at it, DataError where it cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"output: {shown(path)} is there already; name a new folder, or remove it")
    hidden = path.with_name(f".{path.name}.new")
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        with _held(hidden, path):
            _empty(hidden)
            try:
                yield hidden
                hidden.rename(path)
            except BaseException:
                shutil.rmtree(hidden, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(f"output: {shown(path)} cannot be written ({error.strerror})") from error


@contextmanager
def _held(folder: Path, wanted: Path) -> Iterator[None]:
    """Hold a folder for this process; the kernel lets go of it however the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"output: another process is making {shown(wanted)}") from None
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()

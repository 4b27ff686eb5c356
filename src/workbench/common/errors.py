"""Mistakes a person can put right: shown as one clear line, never as a traceback."""

import difflib
import errno
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workbench.common.rank import rank
from workbench.common.redaction import redact

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)  # what a person can put right


class UserError(Exception):
    """What is wrong, where (file or key) and what to do; the process ends with `exit_code`."""

    exit_code = 1
    details = ""  # for the log alone

    def tell(self) -> int:
        """Print the line, where no other rank does, and return the exit code."""
        if rank() == 0:
            print(f"error: {redact(str(self))}", file=sys.stderr)
        return self.exit_code


class ConfigError(UserError):
    """A key, value or target of the configuration is wrong; nothing has been written yet."""

    exit_code = 2


def need_extra(module: str, extra: str, where: str) -> None:
    """Raise ConfigError unless a package of an extra of pyproject.toml is installed; nothing is imported."""
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{where}: {module} is not installed; make installs it, and so does pip install -e '.[{extra}]'"
        )


def data_root(root: str | None, what: str = "folder holds the images") -> Path:
    """Return the folder, or file, that holds the data; raise ConfigError where none was named."""
    if not root:
        raise ConfigError(f"data.root: say which {what}: data.root=... or DATASET=...")
    return Path(root).expanduser()


class DataError(UserError):
    """The data cannot be found or read as they are; every bad file is named at once."""


class NonFiniteLoss(UserError):
    """The loss is NaN or infinite."""


class RankFailed(UserError):
    """A process of a run on several devices failed; `details` is its traceback, where that was unexpected."""

    def __init__(self, line: str, details: str = "") -> None:
        super().__init__(line)
        self.details = details


class Pruned(Exception):
    """A search stopped this trial early: its elders were better at the same epoch."""


@contextmanager
def storage_told(
    folder: Path | str = "outputs", remedy: Callable[[], str] = lambda: "put that right, or name another"
) -> Iterator[None]:
    """Turn a disk that is full or cannot be written into a line for a person."""
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = folder if is_full else error.filename or folder  # full may be a file on its way there
        raise UserError(f"{where}: {storage_trouble(error, where)}; {remedy()}") from error


def storage_trouble(error: OSError, place: Path | str) -> str:
    """Say what a disk lacks: for want of inodes too it says that there is no space, of which there may be."""
    path = Path(error.filename or place).absolute()
    disk = os.statvfs(next(folder for folder in (path, *path.parents) if folder.exists()))
    lacks_inodes = error.errno == errno.ENOSPC and disk.f_files and not disk.f_favail
    return "no inode is left on its disk (df -i)" if lacks_inodes else str(error.strerror)


class Interrupted(BaseException):
    """The process was asked to stop by a signal (Ctrl-C, SIGTERM); the run is closed and can be resumed."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


def nearest(word: str, words: Sequence[str], prefix: str = "") -> str:
    """Return ": did you mean ...?" with the closest of the words, or nothing."""
    folded = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f": did you mean {prefix}{folded[close[0]]}?" if close else ""


def nearest_key(key: str, keys: Sequence[str]) -> str:
    """Return ": did you mean ...?" by the whole path, else by the last word wherever it stands."""
    by_path = nearest(key, keys)
    last_word = key.rpartition(".")[2]
    same_word = [known for known in keys if known.rpartition(".")[2] == last_word]
    return f": did you mean {same_word[0]}?" if same_word else by_path

"""What is costly to make from the same parameters, kept in folders that appear whole or not at all.

Where the cache grows beyond its limit, what was used longest ago is removed; never what a process is using.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.common.errors import ConfigError, DataError
from workbench.common.files import size_of

LIMIT = "PATCHSETS_CACHE_GB"
GIGABYTES = 20.0  # where the variable says nothing
PARAMETERS = "parameters.json"
_IN_USE: dict[Path, int] = {}  # locks of what this process uses, until it ends


def cache_folder() -> Path:
    """Return where PatchSets keeps what it can make or download again."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "patchsets"


def cache_limit() -> int:
    """Return how many bytes the cache may hold; raise ConfigError where its variable is no number."""
    try:
        return round(float(os.environ.get(LIMIT) or GIGABYTES) * 1e9)
    except ValueError:
        raise ConfigError(f"{LIMIT}={os.environ[LIMIT]} is not a number of gigabytes") from None


def check_room(count: int, what: str, advice: str) -> None:
    """Raise DataError, with the advice, where the cache or its disk has no room for as many bytes."""
    free, limit = shutil.disk_usage(cache_folder()).free, cache_limit()
    if count > free:
        raise DataError(
            f"{what} take {count / 1e9:.1f} GB, and {cache_folder()} has {free / 1e9:.1f} GB free; {advice}, "
            "or set XDG_CACHE_HOME to a folder on a larger disk"
        )
    if count > limit:
        raise DataError(
            f"{what} take {count / 1e9:.1f} GB, and the cache may hold {limit / 1e9:.1f} GB; raise {LIMIT}"
        )


def cache_size() -> int:
    """Return how many bytes the cache holds."""
    return size_of(cache_folder()) if cache_folder().is_dir() else 0


def cached(kind: str, parameters: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` filled for these parameters, now or at an earlier call.

    `make` is given an empty folder. Two processes that ask at once make it once. `parameters` are plain
    values, among them a version of the code that makes it; they lie in the folder as parameters.json.
    The folder stays as long as this process lives. Raises DataError where the cache cannot be written.
    """
    text = json.dumps(parameters, sort_keys=True, indent=2)
    folder = cache_folder() / kind / hashlib.sha256(text.encode()).hexdigest()[:16]
    limit = cache_limit()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            is_new = not folder.is_dir()
            if is_new:
                _make(folder, text, make)
            _use(folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    if is_new:
        trim_cache(limit)
    return folder


def _make(folder: Path, parameters: str, make: Callable[[Path], None]) -> None:
    temporary = folder.with_suffix(".new")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    (temporary / PARAMETERS).write_text(parameters + "\n", encoding="utf-8")
    try:
        make(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # it may have filled the disk
        raise
    temporary.replace(folder)


def _use(folder: Path) -> None:
    os.utime(folder)
    if folder not in _IN_USE:
        _IN_USE[folder] = os.open(folder.with_suffix(".used"), os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(_IN_USE[folder], fcntl.LOCK_SH)


def trim_cache(limit: int) -> int:
    """Remove what was used longest ago, until the cache holds no more than `limit` bytes or all is in use.

    Returns the bytes that were removed.
    """
    walked = os.walk(cache_folder())  # which passes over what another process removes meanwhile
    found = [Path(root) for root, _, names in walked if PARAMETERS in names]  # of killed processes too
    sizes = {folder: size_of(folder) for folder in found}
    removed = 0
    for folder in sorted(found, key=_last_use):
        if sum(sizes.values()) - removed <= limit:
            break
        if _remove(folder):
            removed += sizes[folder]
    return removed


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0


def empty_cache() -> int:
    """Remove all that no process is using, downloads too; return the bytes that were removed."""
    downloads = [path for path in cache_folder().glob("*") if path.is_file() and not path.is_symlink()]
    removed = sum(path.stat().st_size for path in downloads)
    for path in downloads:
        path.unlink()
    return removed + trim_cache(0)


def _remove(folder: Path) -> bool:
    """Remove an entry unless a process makes or uses it; tell whether it did."""
    try:
        making, using, gone = (folder.with_suffix(f".{name}") for name in ("lock", "used", "gone"))
        with FileLock(making, blocking=False), using.open("a") as used:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.replace(gone)  # a part of it would be taken for the whole
    except (Timeout, BlockingIOError, FileNotFoundError):
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True

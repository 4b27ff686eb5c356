"""Files that appear whole or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """Give a hidden name to write to; what was written gets its own name once it is whole."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a mapping from JSON; None where there is no file, or one that is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    with appearing_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; links are not followed, what vanishes meanwhile is 0."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                is_folder = entry.is_dir(follow_symlinks=False)
                total += size_of(Path(entry.path)) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total


def is_held(path: Path) -> bool:
    """Tell whether a living process has locked the file; FileLock would write to ask."""
    try:
        with path.open() as lock:  # to read: the folder may lie on a disk that cannot be written
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def give_second_name(path: Path, second: Path) -> None:
    """Let `second` be the same file as `path` is now, at once or not at all."""
    temporary = second.with_name(f".{second.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, temporary)
    temporary.replace(second)

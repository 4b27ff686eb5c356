"""What was learned of files at the first look, kept in the cache until a file changes."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from workbench.common.cache import cached
from workbench.common.errors import DataError
from workbench.common.files import read_json, write_json

log = logging.getLogger(__name__)
SHOWN_FROM = 200  # files to look at, for a bar


def look_at(
    kind: str, root: Path, paths: Sequence[Path], look: Callable[[Path], dict[str, Any]]
) -> list[dict[str, Any] | Exception]:
    """Return what `look` says of each file, in plain values, or the exception that it raised.

    A file that it has seen, with the same size and time of change, is not looked at again. `kind` names the
    look and its version. Where the cache cannot be written, every start looks at all files.
    """
    try:
        folder = cached("first_look", {"of": kind, "root": str(root.resolve())}, lambda _: None)
    except DataError as error:
        log.warning("the first look at %s is not kept: %s", root, error)
        return [result for _, result in _look_anew(root, paths, look)]
    with FileLock(folder.with_suffix(".looking")):  # of several processes one looks, the others wait
        kept = folder / "files.json"
        known = read_json(kept) or {}
        stamps = {path: _stamp(path) for path in paths}
        new = [path for path in paths if known.get(str(path), {}).get("stamp") != stamps[path]]
        results = dict(_look_anew(root, new, look))
        good = {path: seen for path, seen in results.items() if not isinstance(seen, Exception)}
        if good:
            write_json(kept, known | {str(p): {"stamp": stamps[p], "seen": seen} for p, seen in good.items()})
    return [results[path] if path in results else known[str(path)]["seen"] for path in paths]


def _look_anew(
    root: Path, paths: Sequence[Path], look: Callable[[Path], dict[str, Any]]
) -> list[tuple[Path, dict[str, Any] | Exception]]:
    """Look at files in threads, with a bar where they are many."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda path: (path, _try(look, path)), paths)
        off = len(paths) < SHOWN_FROM
        return list(tqdm(found, f"first look at {root.name}", len(paths), unit="file", disable=off))


def _stamp(path: Path) -> list[int]:
    """Return size and time of change; zeros of what cannot be asked, which the look then says."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _try(look: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any] | Exception:
    try:
        return look(path)
    except Exception as error:  # readers raise anything on broken bytes
        return error

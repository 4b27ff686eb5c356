"""What was learned of files at the first look, kept in the cache until a file changes."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from workbench.common.cache import cache_folder
from workbench.common.errors import DataError
from workbench.common.files import read_json, write_json

SHOWN_FROM = 200  # files to look at, for a bar


def look_at(
    kind: str, root: Path, paths: Sequence[Path], look: Callable[[Path], dict[str, Any]]
) -> list[dict[str, Any] | Exception]:
    """Return what `look` says of each file, in plain values, or the exception that it raised.

    A file that it has seen, with the same size and time of change, is not looked at again. `kind` names the
    look and its version. Files are looked at in threads, with a bar where they are many.
    """
    name = hashlib.sha256(f"{kind} {root.resolve()}".encode()).hexdigest()[:16]
    kept = cache_folder() / f"look-{name}.json"
    known = read_json(kept) or {}
    stamps = [_stamp(path) for path in paths]
    keys = [str(path) for path in paths]
    new = [n for n, key in enumerate(keys) if known.get(key, {}).get("stamp") != stamps[n]]
    results: dict[int, dict[str, Any] | Exception] = {}
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda n: _try(look, paths[n]), new)
        bar = tqdm(found, f"first look at {root.name}", len(new), unit="file", disable=len(new) < SHOWN_FROM)
        results = dict(zip(new, bar, strict=True))
    looked = {n: result for n, result in results.items() if not isinstance(result, Exception)}
    if looked:
        _keep(kept, known | {keys[n]: {"stamp": stamps[n], "seen": seen} for n, seen in looked.items()})
    return [results[n] if n in results else known[key]["seen"] for n, key in enumerate(keys)]


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


def _keep(file: Path, looks: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, looks)
    except OSError as error:
        raise DataError(
            f"{file} cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error

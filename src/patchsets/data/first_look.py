"""The first look at image files: what must be known of all of them before the first is trained on.

Every file is decoded once, several at a time; what was seen is kept in the cache by the file's path, size and
time of change, so that the next start decodes only what is new.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from patchsets.data.image_files import hash_of_pixels, is_colour, read_pixels
from workbench.common.cache import cached
from workbench.common.errors import DataError
from workbench.common.files import read_json, write_json
from workbench.common.rank import rank
from workbench.portable.pixels import MEGAPIXELS, Unusable, pillow_is_quiet, shown

log = logging.getLogger(__name__)
AT_ONCE = 256  # images that the threads are given


@dataclass(frozen=True)
class Look:
    """What a file holds: bytes and time of change (ns), height and width, a hash of shape and pixels."""

    stamp: tuple[int, int]
    size: tuple[int, int]
    is_colour: bool
    sha256: str


def stamp_of(path: Path) -> tuple[int, int]:
    """Return a file's bytes and when it was changed, in ns."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def look_at(paths: Sequence[Path], root: Path) -> list[Look | Unusable]:
    """Return what each file below `root` holds, or why it cannot be used; a bar is shown where it takes long.

    Where the cache cannot be written, every start looks at all files again.
    """
    try:
        limit = os.environ.get("PATCHSETS_MEGAPIXELS", MEGAPIXELS)
        parameters = {"root": shown(root.absolute()), "megapixels": str(limit), "version": 1}
        kept = cached("first_look", parameters, lambda folder: None) / "files.json"
        lock = FileLock(kept.with_name("looking.lock"))  # of several ranks one looks, the others wait
    except DataError as error:
        log.warning("the first look at %s is not kept: %s", shown(root), error)
        kept, lock = None, nullcontext()  # type: ignore[assignment]
    with lock:
        return _look(paths, root, kept)


def _look(paths: Sequence[Path], root: Path, kept: Path | None) -> list[Look | Unusable]:
    known = {} if kept is None else _read(kept)
    names = [shown(path.relative_to(root)) for path in paths]
    looks: dict[str, Look | Unusable] = {}
    for name, path in zip(names, paths, strict=True):
        earlier = known.get(name)
        with suppress(OSError):  # told by looking at it
            if earlier is not None and earlier.stamp == stamp_of(path):
                looks[name] = earlier
    new = [(name, path) for name, path in zip(names, paths, strict=True) if name not in looks]
    try:
        for name, look in _looks_at(new, root):
            looks[name] = look
    finally:  # a look that was stopped goes on where it was
        if new and kept is not None:
            good = {name: look for name, look in looks.items() if isinstance(look, Look)}
            write_json(kept, {name: vars(look) for name, look in (known | good).items()})
    return [looks[name] for name in names]


def _read(kept: Path) -> dict[str, Look]:
    entries = read_json(kept) or {}
    return {
        name: Look(tuple(entry["stamp"]), tuple(entry["size"]), entry["is_colour"], entry["sha256"])
        for name, entry in entries.items()
    }


def _looks_at(new: Sequence[tuple[str, Path]], root: Path) -> Iterator[tuple[str, Look | Unusable]]:
    bar = bar_of_images(len(new), f"first look at {shown(root)}")
    with pillow_is_quiet(), ThreadPoolExecutor() as pool, bar:
        for first in range(0, len(new), AT_ONCE):  # a pool that is stopped finishes what it was given
            names, paths = zip(*new[first : first + AT_ONCE], strict=True)
            for name, look in zip(names, pool.map(_look_at_one, paths), strict=True):
                yield name, look
                bar.update()


def bar_of_images(count: int, said: str) -> "tqdm[None]":
    """Return a bar that counts images, shown by one rank where it takes more than a second."""
    return tqdm(total=count, desc=said, unit="image", delay=1, dynamic_ncols=True, disable=rank() != 0)


def _look_at_one(path: Path) -> Look | Unusable:
    try:
        stamp = stamp_of(path)
        pixels = read_pixels(path)
    except OSError as error:
        return Unusable(error.strerror)
    except Unusable as reason:
        return reason
    return Look(stamp, (pixels.shape[0], pixels.shape[1]), is_colour(pixels), hash_of_pixels(pixels))

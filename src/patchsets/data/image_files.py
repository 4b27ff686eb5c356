"""Image files as arrays of bytes, whatever their mode; all that cannot be read are named at once."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from workbench.common.errors import DataError
from workbench.portable.pixels import (
    GREY_MODES,
    WIDE_MODES,
    Unusable,
    check_smallest,
    decode,
    open_image,
    pillow_is_quiet,
    shown,
)

Usable = TypeVar("Usable")
LARGEST_TOTAL = 8 * 2**30  # bytes of all images together, which are held in memory


@dataclass(frozen=True)
class ImageFile:
    """A decoded file: `[H, W]` or `[H, W, 3]` uint8, and the hash of its shape and pixels as they were."""

    pixels: np.ndarray
    sha256: str
    size: tuple[int, int]  # height and width of the file


def read_images(
    paths: Sequence[Path],
    root: Path,
    smallest: int,
    shrink: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[ImageFile]:
    """Decode files, several at a time; `shrink` is done to each at once, before the next are in memory.

    Raises DataError with every file, relative to `root`, that is broken or has a side of fewer than
    `smallest` pixels, and where all together are too large for memory.
    """
    if shrink is None:
        with pillow_is_quiet(), ThreadPoolExecutor() as pool:
            check_total(list(pool.map(_bytes_of, paths)), root)
    return usable(try_images(paths, smallest, shrink), paths, root)


def usable(results: Sequence[Usable | Unusable], paths: Sequence[Path], root: Path) -> list[Usable]:
    """Return what was read of files; DataError naming, relative to `root`, all that cannot be used."""
    bad = [
        f"{shown(path.relative_to(root))}: {result}"
        for path, result in zip(paths, results, strict=True)
        if isinstance(result, Unusable)
    ]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(paths)} images in {shown(root)} cannot be used; repair or remove them:\n  "
            + "\n  ".join(bad)
        )
    return [result for result in results if not isinstance(result, Unusable)]


def try_images(
    paths: Sequence[Path], smallest: int, shrink: Callable[[np.ndarray], np.ndarray] | None
) -> list[ImageFile | Unusable]:
    """Decode files like `read_images`; for one that cannot be used, return why."""
    with pillow_is_quiet(), ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: _try(path, smallest, shrink), paths))


def as_one_mode(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return all as `[H, W]` where every image is grey, else all as `[H, W, 3]`."""
    if any(is_colour(image) for image in images):
        return [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    return [image if image.ndim == 2 else np.ascontiguousarray(image[..., 0]) for image in images]


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write `[H, W]` or `[H, W, 3]` uint8, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def is_colour(image: np.ndarray) -> bool:
    """Tell whether the channels of `[H, W, 3]` differ anywhere; `[H, W]` has one."""
    sample = image[::16, ::16]  # which tells of most
    return image.ndim == 3 and any(bool((part != part[..., :1]).any()) for part in (sample, image))


def _bytes_of(path: Path) -> int:
    try:
        with open_image(path) as image:
            return image.width * image.height * (1 if image.mode in (*GREY_MODES, *WIDE_MODES) else 3)
    except Exception:
        return 0  # named later, with all others that are broken


def check_total(sizes: Sequence[int], root: Path) -> None:
    """Raise DataError where images of so many bytes each are too large to be held in memory."""
    if sum(sizes) > LARGEST_TOTAL:
        raise DataError(
            f"the {len(sizes)} images in {shown(root)} take {sum(sizes) / 2**30:.1f} GiB in memory, more "
            f"than {LARGEST_TOTAL / 2**30:.0f}; shrink them, or train on fewer"
        )


def _try(
    path: Path, smallest: int, shrink: Callable[[np.ndarray], np.ndarray] | None
) -> ImageFile | Unusable:
    try:
        pixels = read_pixels(path)
        check_smallest(pixels.shape, smallest)
    except Unusable as reason:
        return reason
    file = ImageFile(pixels, hash_of_pixels(pixels), (pixels.shape[0], pixels.shape[1]))
    return file if shrink is None else replace(file, pixels=shrink(pixels))


def read_pixels(path: Path, resize: int | Sequence[int] | None = None) -> np.ndarray:
    """Decode a file as `decode` does; Unusable, in words for a person, whatever is wrong with it."""
    try:
        if path.stat().st_size == 0:
            raise Unusable("the file is empty (0 bytes)")
        return decode(path, resize=resize)
    except Unusable:
        raise
    except Exception as error:  # decoders raise anything on broken bytes: SyntaxError, struct.error, ...
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unusable(said.replace(f" {str(path)!r}", " it")) from error


def hash_of_pixels(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an image's shape and pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()

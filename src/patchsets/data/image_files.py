"""Image files as arrays of bytes, whatever their mode; all that cannot be read are named at once."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

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
            _check_total(list(pool.map(_bytes_of, paths)), root)
    results = try_images(paths, smallest, shrink)
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
    return [result for result in results if isinstance(result, ImageFile)]


def try_images(
    paths: Sequence[Path], smallest: int, shrink: Callable[[np.ndarray], np.ndarray] | None
) -> list[ImageFile | Unusable]:
    """Decode files like `read_images`; for one that cannot be used, return why."""
    with pillow_is_quiet(), ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: _try(path, smallest, shrink), paths))


def as_one_mode(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return all as `[H, W]` where every image is grey, else all as `[H, W, 3]`."""
    if any(_is_colour(image) for image in images):
        return [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    return [image if image.ndim == 2 else np.ascontiguousarray(image[..., 0]) for image in images]


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write `[H, W]` or `[H, W, 3]` uint8, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _is_colour(image: np.ndarray) -> bool:
    return image.ndim == 3 and bool((image != image[..., :1]).any())


def _bytes_of(path: Path) -> int:
    try:
        with open_image(path) as image:
            return image.width * image.height * (1 if image.mode in (*GREY_MODES, *WIDE_MODES) else 3)
    except Exception:
        return 0  # named later, with all others that are broken


def _check_total(sizes: Sequence[int], root: Path) -> None:
    if sum(sizes) > LARGEST_TOTAL:
        raise DataError(
            f"the {len(sizes)} images in {shown(root)} take {sum(sizes) / 2**30:.1f} GiB in memory, more "
            f"than {LARGEST_TOTAL / 2**30:.0f}; shrink them, or train on fewer"
        )


def _try(
    path: Path, smallest: int, shrink: Callable[[np.ndarray], np.ndarray] | None
) -> ImageFile | Unusable:
    try:
        file = _read(path, smallest)
        return file if shrink is None else replace(file, pixels=shrink(file.pixels))
    except Unusable as reason:
        return reason
    except Exception as error:  # decoders raise anything on broken bytes: SyntaxError, struct.error, ...
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unusable(said.replace(f" {str(path)!r}", " it"))


def _read(path: Path, smallest: int) -> ImageFile:
    if path.stat().st_size == 0:
        raise Unusable("the file is empty (0 bytes)")
    pixels = decode(path)
    check_smallest(pixels, smallest)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return ImageFile(pixels, digest.hexdigest(), (pixels.shape[0], pixels.shape[1]))

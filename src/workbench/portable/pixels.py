"""Images as bytes, whatever a file's mode, at the size a model takes; and scores as heat over them."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Without EPS, for which Pillow starts Ghostscript, and other formats that a camera does not write.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MEGAPIXELS = 100.0  # of an image, unless PATCHSETS_MEGAPIXELS says so
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit: ours is told, and can be raised
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def is_image_name(path: Path) -> bool:
    """Tell whether a file counts as an image: by its suffix in any case; hidden files do not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def shown(path: Path) -> str:
    """Return a path that can be printed, even where its bytes are not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


BACKGROUND = "white"  # beneath what is transparent
GREY_MODES = ("1", "L")
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L")


class Unusable(Exception):
    """Why a file cannot be used."""


def read_image(
    source: str | PathLike[str] | IO[bytes], preprocessing: Mapping[str, Any], most: float = MEGAPIXELS
) -> np.ndarray:
    """Read a file, by path or opened, as `[H, W, 3]` uint8 of the size that `preprocessing` says.

    Raises Unusable, in words for a person, where it is no image or a damaged one.
    """
    try:
        pixels = as_rgb(decode(source, most))
        check_smallest(pixels, preprocessing.get("smallest", 1))
        return fitted(pixels, preprocessing.get("size"), preprocessing.get("fit", "stretch"))
    except Unusable:
        raise
    except Exception as error:  # a damaged file raises what its decoder likes
        strerror = getattr(error, "strerror", None)
        raise Unusable(strerror or " ".join(str(error).split()) or type(error).__name__) from error


def check_smallest(pixels: np.ndarray, smallest: int) -> None:
    """Raise Unusable where a side has fewer pixels than one patch."""
    height, width = pixels.shape[:2]
    if min(height, width) < smallest:
        raise Unusable(f"{width}x{height} pixels are fewer than a patch's {smallest}x{smallest}")


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Say nothing of odd palettes and metadata, which are read right.

    For the whole process: to be entered once, before threads that decode are started.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_image(source: str | PathLike[str] | IO[bytes], most: float = MEGAPIXELS) -> Image.Image:
    """Open a file, by path or opened, before it is decoded; Unusable for other formats, or too many pixels.

    `most` is in millions of pixels; PATCHSETS_MEGAPIXELS replaces it.
    """
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise Unusable("it is no image, or none of " + ", ".join(FORMATS)) from error
    most = float(os.environ.get("PATCHSETS_MEGAPIXELS", most))
    if image.width * image.height > 1e6 * most:
        size = f"{image.width}x{image.height}"
        image.close()
        raise Unusable(f"{size} pixels are more than {most:g} million; PATCHSETS_MEGAPIXELS raises the limit")
    return image


def decode(source: str | PathLike[str] | IO[bytes], most: float = MEGAPIXELS) -> np.ndarray:
    """Decode a file, by path or opened, upright, as `[H, W]` or `[H, W, 3]` uint8."""
    with open_image(source, most) as image:
        image.load()
        return as_bytes(ImageOps.exif_transpose(image))


def as_bytes(image: Image.Image) -> np.ndarray:
    """Convert to grey or RGB bytes; 16 bits are scaled from 0..65535, transparency lies on the background."""
    if image.mode in WIDE_MODES:
        return _narrow(np.asarray(image))
    if image.mode == "F":
        raise Unusable("its pixels are floating-point numbers of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    return np.array(image.convert("L" if image.mode in GREY_MODES else "RGB"))


def _narrow(pixels: np.ndarray) -> np.ndarray:
    if pixels.min() < 0 or pixels.max() > 65535:
        raise Unusable("its pixels do not fit 16 bits; save it with 8 or 16")
    return ((pixels.astype(np.int64) + 128) // 257).astype(np.uint8)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return `[H, W]` or `[H, W, 3]` as `[H, W, 3]`."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def fitted(pixels: np.ndarray, size: Sequence[int] | int | None, fit: str = "stretch") -> np.ndarray:
    """Bring `[H, W]` or `[H, W, 3]` uint8 to a size (height, width); without one it stays as it is.

    `fit`: stretch, or letterbox, which keeps the proportions and repeats the edge around them.
    """
    if size is None:
        return pixels
    height, width = (size, size) if isinstance(size, int) else size
    if fit == "stretch":
        return _resized(pixels, height, width)
    if fit != "letterbox":
        raise ValueError(f"fit: {fit} is neither stretch nor letterbox")
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    inner = [
        max(1, min(room, round(side * scale)))
        for room, side in zip((height, width), pixels.shape[:2], strict=True)
    ]
    return _with_edges(_resized(pixels, *inner), height, width)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _with_edges(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    down, right = height - pixels.shape[0], width - pixels.shape[1]
    around = [(down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)]
    return np.pad(pixels, around[: pixels.ndim], mode="edge")


HEAT = "inferno"  # matplotlib's name of the colours
OPACITY = 0.75  # of the strongest colour over the image


def heat_overlay(image: np.ndarray, share_HW: np.ndarray) -> np.ndarray:
    """Lay heat over a greyed image, the more the nearer its share is to 1; `[H, W, 3]` between 0 and 1."""
    from matplotlib import colormaps  # which a served model does not need

    grey = image if image.ndim == 2 else image.mean(axis=2)
    opacity = OPACITY * np.clip(share_HW, 0, 1)[..., None]
    return (1 - opacity) * (grey / 255)[..., None] + opacity * colormaps[HEAT](share_HW)[..., :3]

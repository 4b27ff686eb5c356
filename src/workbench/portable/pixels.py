"""Images as bytes, whatever a file's mode, at the size a model takes; and scores as heat over them."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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
        pixels = as_rgb(cropped(decode(source, most, preprocessing.get("resize")), preprocessing.get("crop")))
        check_smallest(pixels.shape, preprocessing.get("smallest", 1))
        return fitted(pixels, preprocessing.get("size"), preprocessing.get("fit", "stretch"))
    except Unusable:
        raise
    except Exception as error:  # a damaged file raises what its decoder likes
        strerror = getattr(error, "strerror", None)
        raise Unusable(strerror or " ".join(str(error).split()) or type(error).__name__) from error


def check_smallest(size: Sequence[int], smallest: int) -> None:
    """Raise Unusable where a side (height, width, ...) has fewer pixels than one patch."""
    height, width = size[:2]
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


def decode(
    source: str | PathLike[str] | IO[bytes],
    most: float = MEGAPIXELS,
    resize: int | Sequence[int] | None = None,
) -> np.ndarray:
    """Decode a file, by path or opened, upright, as `[H, W]` or `[H, W, 3]` uint8.

    `resize` brings it to (height, width), or its shorter side to a number; a much larger JPEG is decoded at a
    half, a quarter or an eighth of its size, which takes a part of the time.
    """
    with open_image(source, most) as opened:
        image: Image.Image = opened
        size = None
        if resize is not None:
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            size = resized((image.width, image.height) if is_turned else (image.height, image.width), resize)
            lying = size if is_turned else size[::-1]
            if (drafted := image.draft("", lying)) is not None:
                image = image.resize(lying, Image.Resampling.BILINEAR, box=drafted[1])
        image.load()
        pixels = as_bytes(ImageOps.exif_transpose(image))
    return pixels if size is None else _resized(pixels, *size)


def resized(size: tuple[int, int], resize: int | Sequence[int] | None) -> tuple[int, int]:
    """Return the (height, width) that an image of a size gets; a number is that of its shorter side."""
    if resize is None:
        return size
    if not isinstance(resize, int):
        return resize[0], resize[1]
    height, width = (max(1, round(side * resize / min(size))) for side in size)
    return height, width


def cropped(pixels: np.ndarray, crop: Sequence[int] | None) -> np.ndarray:
    """Return the middle (height, width) of `[H, W, ...]`; Unusable where it has fewer pixels."""
    if crop is None:
        return pixels
    check_crop(pixels.shape, crop)
    top, left = ((side - part) // 2 for side, part in zip(pixels.shape, crop, strict=False))
    return pixels[top : top + crop[0], left : left + crop[1]]


def check_crop(size: Sequence[int], crop: Sequence[int]) -> None:
    """Raise Unusable where an image (height, width, ...) is smaller than what is cut out of it."""
    if size[0] < crop[0] or size[1] < crop[1]:
        raise Unusable(f"{size[1]}x{size[0]} pixels are fewer than the {crop[1]}x{crop[0]} of the crop")


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


def sides(size: Sequence[int] | int) -> tuple[int, int]:
    """Return height and width of a size, which is either both or one number for both."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def fitted(pixels: np.ndarray, size: Sequence[int] | int | None, fit: str = "stretch") -> np.ndarray:
    """Bring `[H, W]` or `[H, W, 3]` uint8 to a size (height, width); without one it stays as it is.

    `fit`: stretch, or letterbox, which keeps the proportions and repeats the edge around them.
    """
    if size is None:
        return pixels
    height, width = sides(size)
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


def pixel_weights(
    shape: tuple[int, int], weight_N: np.ndarray, top_left_N2: np.ndarray, patch_size: int
) -> np.ndarray:
    """Return `[H, W]`: the mean weight of the patches over each pixel, NaN where there is none."""
    total, count = np.zeros(shape), np.zeros(shape)
    for weight, (y, x) in zip(weight_N, top_left_N2.astype(int), strict=True):
        patch = np.s_[y : y + patch_size, x : x + patch_size]
        total[patch] += weight
        count[patch] += 1
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)

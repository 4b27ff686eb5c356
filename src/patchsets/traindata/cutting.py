"""One raw image to the images of a data set: a region of it, whole or in tiles, at one size.

Anomalies where none were photographed: defects painted on good test images.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from patchsets.data.defects import Canvas, add_defect
from patchsets.data.layout import fit_mask, vanishes
from patchsets.data.textures import read_photograph
from patchsets.traindata.settings import Words
from workbench.portable.pixels import fitted

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Cut:
    """One image `[H, W]` or `[H, W, 3]` uint8, its mask, and where in the source it was."""

    pixels: np.ndarray
    mask: np.ndarray | None  # bool
    box: Box
    suffix: str  # of the file's name
    is_tiny: bool  # whether the defect fills no pixel by half


def boxes(size: tuple[int, int], words: Words) -> Iterator[tuple[Box, str]]:
    """Give the parts to take of an image of (height, width), and the suffix of each."""
    left, top, right, bottom = words.box() or (0, 0, size[1], size[0])
    if words.tile is None:
        yield (left, top, right, bottom), ""
        return
    for row, y in enumerate(_starts(bottom - top, words.tile)):
        for column, x in enumerate(_starts(right - left, words.tile)):
            box = (left + x, top + y, left + x + words.tile, top + y + words.tile)
            yield box, f"_{row}_{column}"


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin: they cover the whole length, and overlap where it is no multiple."""
    return [int(start) for start in np.linspace(0, length - tile, math.ceil(length / tile)).round()]


def too_small(size: tuple[int, int], words: Words) -> str | None:
    """Say why an image of (height, width) cannot be cut; None where it can."""
    height, width = size
    left, top, right, bottom = words.box() or (0, 0, width, height)
    if right > width or bottom > height:
        return f"{width}x{height} pixels do not hold the region {words.region}"
    if words.tile is not None and words.tile > min(right - left, bottom - top):
        return f"{right - left}x{bottom - top} pixels are fewer than a tile's {words.tile}x{words.tile}"
    return None


def cut(pixels: np.ndarray, mask: np.ndarray | None, words: Words) -> Iterator[Cut]:
    """Give the images made of one; `mask` `[H, W]` bool is cut alike."""
    size = words.image_size()
    for box, suffix in boxes((pixels.shape[0], pixels.shape[1]), words):
        left, top, right, bottom = box
        part = fitted(np.ascontiguousarray(pixels[top:bottom, left:right]), size, words.fit)
        seen, is_tiny = None, False
        if mask is not None:
            within = mask[top:bottom, left:right]
            seen = fit_mask(within, size, words.fit)
            is_tiny = vanishes(within, size, words.fit)
        yield Cut(part, seen, box, suffix, is_tiny)


KINDS = ("texture", "cut_paste", "scratch", "stain", "missing", "blur")
FOREIGN = ("brick", "grass", "gravel", "coins", "moon", "page")
CONTRAST = (1.5, 3.0)  # in standard deviations of the good images


@dataclass(frozen=True)
class Synthetic:
    """A good image with a defect; `[H, W]` or `[H, W, 3]` uint8, and `[H, W]` bool."""

    kind: str
    number: int
    twin: int  # which good image it was
    pixels: np.ndarray
    mask: np.ndarray


def synthesize(good: Sequence[np.ndarray], per_kind: int, seed: int) -> Iterator[Synthetic]:
    """Give so many anomalies of each kind, each of a good image of one size `[H, W]` or `[H, W, 3]` uint8.

    Each has a random stream of its own: another count changes no other image.
    """
    sample = np.stack(good[:200]) / 255
    deviation, limits = float(sample.std()), tuple(np.percentile(sample, (0.5, 99.5)).tolist())
    size = sample.shape[1:3]
    foreign = [fitted(read_photograph(name), size) / 255 for name in FOREIGN]
    for kind in KINDS:
        for number in range(per_kind):
            random = np.random.default_rng([seed, zlib.crc32(f"{kind} {number}".encode())])
            twin, donor = random.integers(len(good), size=2).tolist()
            canvas = Canvas(
                _as_float(good[twin]),
                _as_float(good[donor]),
                foreign[random.integers(len(foreign))],
                deviation,
                CONTRAST,
                (limits[0], limits[1]),
            )
            image, mask = add_defect(kind, canvas, random)
            pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
            yield Synthetic(kind, number, twin, pixels.reshape(good[twin].shape), mask)


def _as_float(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., None] if pixels.ndim == 2 else pixels) / 255

"""One raw image to the images of a data set: a region of it, whole or in tiles, at one size."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from patchsets.data.layout import fit_mask
from patchsets.traindata.settings import Words
from workbench.portable.pixels import fitted

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Cut:
    """One image `[size, size]` or `[size, size, 3]` uint8, its mask, and where in the source it was."""

    pixels: np.ndarray
    mask: np.ndarray | None  # bool
    box: Box
    suffix: str  # of the file's name


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
    for box, suffix in boxes((pixels.shape[0], pixels.shape[1]), words):
        left, top, right, bottom = box
        part = fitted(np.ascontiguousarray(pixels[top:bottom, left:right]), words.size, words.fit)
        seen = None if mask is None else fit_mask(mask[top:bottom, left:right], words.size, words.fit)
        yield Cut(part, seen, box, suffix)

"""Images that are nearly the same, by a perceptual difference hash (dHash, Krawetz 2013) of 256 bits."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 16
NEAR = 10  # of 256 bits; a photograph saved again as JPEG differs by 0 to 4
ALIKE = 4.0  # grey levels by which thumbnails of the same thing differ at most, on average
BLANK = 2.0  # standard deviation of a thumbnail that shows nothing: all such are alike
AT_ONCE = 512  # hashes compared with all others


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return `[16, 17]` uint8, grey: all the comparison needs of an image."""
    small = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    return np.asarray(small)


def is_blank(small: np.ndarray) -> bool:
    """Tell a thumbnail that shows nothing."""
    return bool(small.std() < BLANK)


def near_duplicates(thumbnails: Sequence[np.ndarray], split: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of images in different splits whose hashes, and thumbnails, differ little."""
    if not thumbnails:
        return []
    small = np.stack(thumbnails)
    hashes = _difference_hash(small)
    candidate = small.std(axis=(1, 2)) >= BLANK
    splits = np.array(split)
    pairs: list[tuple[int, int]] = []
    for begin in range(0, len(hashes), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        distance = np.bitwise_count(hashes[part, None] ^ hashes).sum(axis=2)
        across = (splits[part, None] != splits) & candidate[part, None] & candidate
        first, second = np.nonzero((distance <= NEAR) & across)
        pairs += [
            (begin + a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if begin + a < b
        ]
    return [(a, b) for a, b in pairs if np.abs(small[a].astype(int) - small[b]).mean() <= ALIKE]


def _difference_hash(small: np.ndarray) -> np.ndarray:
    """Return `[N, 32]` uint8 of thumbnails: whether it gets brighter from each pixel to the next one."""
    brighter = small[:, :, 1:] > small[:, :, :-1]
    return np.packbits(brighter.reshape(len(small), -1), axis=1)

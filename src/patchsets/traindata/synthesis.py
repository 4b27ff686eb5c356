"""Anomalies where none were photographed: defects painted on good test images."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from patchsets.data.defects import Canvas, add_defect
from patchsets.data.textures import read_photograph
from workbench.portable.pixels import fitted

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

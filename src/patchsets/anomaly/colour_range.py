"""One colour scale for all heat maps of a run: scaled one by one, the maps of good images would glow too."""

from typing import NamedTuple

import numpy as np

LOW, HIGH = 50, 99.9  # percentiles of the pixels of held-out good images
SMALLEST = 1e-6  # a range that divides, also where all pixels score the same


class ColourRange(NamedTuple):
    """Scores of a pixel: where colour begins, where a contour is drawn, where colour ends."""

    low: float
    contour: float
    high: float


def colour_range(good_maps: np.ndarray) -> ColourRange:
    """Return the range from the maps `[n, H, W]` of held-out good images.

    One good pixel in a thousand is above the contour; half as much again has the strongest colour.
    """
    low, contour = map(float, np.percentile(good_maps, (LOW, HIGH)))
    return ColourRange(low, contour, contour + max(0.5 * contour, 0.5 * (contour - low), SMALLEST))

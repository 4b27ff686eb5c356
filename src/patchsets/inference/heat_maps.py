"""Where a detector found what it reports, drawn over the image in the one scale of colour of its run."""

from pathlib import Path

import numpy as np
from PIL import Image

from patchsets.atomic import appearing_whole


def write_heat_map(path: Path, image_HWC: np.ndarray, map_HW: np.ndarray, colours: list[float]) -> None:
    """Write the overlay as PNG; `colours`: scores of a pixel where colour begins, is marked, and ends."""
    from patchsets.figures.anomaly_maps import heat_overlay

    low, _, high = colours
    share_HW = np.clip((map_HW - low) / (high - low or 1), 0, 1)
    overlay = (255 * heat_overlay(image_HWC, share_HW)).round().astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing_whole(path) as temporary:
        Image.fromarray(overlay).save(temporary, format="PNG")

"""A map of scores as heat over its image, for figures and for inference."""

import numpy as np
from matplotlib import colormaps

HEAT = colormaps["inferno"]
OPACITY = 0.75  # of the strongest colour over the image


def heat_overlay(image: np.ndarray, share_HW: np.ndarray) -> np.ndarray:
    """Lay heat over a greyed image, the more the nearer its share is to 1; `[H, W, 3]` between 0 and 1."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    opacity = OPACITY * np.clip(share_HW, 0, 1)[..., None]
    return (1 - opacity) * (grey / 255)[..., None] + opacity * HEAT(share_HW)[..., :3]

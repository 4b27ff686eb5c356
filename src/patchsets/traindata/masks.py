"""Masks of any convention as arrays of bool."""

import numpy as np

from patchsets.portable.pixels import fitted


def as_mask(pixels: np.ndarray) -> np.ndarray:
    """Return where a mask's file says anomalous, `[H, W]` bool: white; any number but 0 where all are low."""
    grey = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    mask: np.ndarray = grey > (127 if grey.max() > 127 else 0)
    return mask


def fit_mask(mask: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Bring a mask `[H, W]` bool to a size: True where at least half of a pixel is."""
    fit_to: np.ndarray = fitted(mask.astype(np.uint8) * 255, size, fit) > 127
    return fit_to

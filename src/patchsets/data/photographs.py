"""Photographs that come with scikit-image (most of them CC0), read without importing it."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image


def read_photograph(name: str) -> np.ndarray:
    """Return one photograph in grey, `[H, W]` uint8."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / f"{name}.png") as image:
        return np.asarray(image.convert("L"))

"""Images side by side."""

import math

import numpy as np
from matplotlib.figure import Figure

from patchsets.figures.style import bare, headline, new_figure, styled

COLUMNS = 8


@styled
def image_grid(images: np.ndarray, title: str, caption: str = "") -> Figure:
    """Draw images `[N, H, W]` or `[N, H, W, 3]` of uint8 in rows of eight."""
    rows = math.ceil(len(images) / COLUMNS)
    figure = new_figure(9, 1.08 * rows + 0.7)
    for axes, image in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, images, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    for axes in figure.axes:
        bare(axes)
    headline(figure, title, caption)
    return figure

"""Grids of images that a network made."""

import numpy as np
from matplotlib.figure import Figure

from patchsets.figures.examples import COLUMNS, show
from patchsets.figures.style import bare, headline, new_figure, styled


@styled
def samples(images: np.ndarray, title: str, caption: str = "") -> Figure:
    """Draw images `[N, H, W]` or `[N, H, W, 3]` uint8 in rows of eight."""
    columns = min(COLUMNS, max(len(images), 4))
    rows = -(-len(images) // columns)
    figure = new_figure(1.1 * columns, 1.1 * rows + (0.75 if caption else 0.5))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for axes, image in zip(grid.flat, images, strict=False):
        show(axes, image)
    headline(figure, title, caption)
    return figure

"""Images beside what a detector makes of them: reconstruction, error, and where the error is too large."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from patchsets.anomaly.detector import ColourRange
from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.predictions import Case
from patchsets.anomaly.thresholds import Threshold
from patchsets.figures.examples import COLUMNS, show
from workbench.common.figure_style import GREEN, GREY, INK, RED, bare, drawable, headline, new_figure, styled
from workbench.portable.pixels import HEAT, heat_overlay

LINES = "contours: white where the score passes the pixel threshold"


@styled
def reconstruction_comparison(
    test: JudgedImages, threshold: Threshold, cases: Sequence[Case], colours: ColourRange | None
) -> Figure:
    """Draw a column per case and a row for what is known of it: input, reconstruction, error, overlay.

    All maps share one scale of colour, that of the held-out good images.
    """
    rows = ["input"]
    rows += ["reconstruction"] * (test.reconstructions is not None)
    what = "score" if test.reconstructions is None else "error"
    rows += [what, "overlay"] * (colours is not None)
    width = max(len(cases), 4)
    figure = new_figure(0.98 * width + 1.0, 0.96 * len(rows) + 1.1)
    grid = figure.subplots(len(rows), len(cases), squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.03})
    kinds = drawable(test.kind[case.row] for case in cases)
    for column, case, kind in zip(grid.T, cases, kinds, strict=True):
        _title(column[0], case, kind, test.score[case.row], threshold)
        for axes, row in zip(column, rows, strict=True):
            bare(axes)
            _draw(axes, row, test, case.row, colours)
    for axes, row in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(row, color=INK, fontsize=8.5)
    if colours is not None:
        _scale(figure, grid[-2:], colours, f"{what} of a pixel")
    headline(figure, "Mistakes first, then the best, median and worst answers", _caption(test, colours))
    return figure


def _draw(axes: Axes, row: str, test: JudgedImages, n: int, colours: ColourRange | None) -> None:
    assert test.images is not None
    if row == "input":
        return show(axes, test.images[n])
    if row == "reconstruction":
        assert test.reconstructions is not None
        return show(axes, test.reconstructions[n])
    assert test.maps is not None and colours is not None
    if row != "overlay":
        axes.imshow(test.maps[n], cmap=HEAT, vmin=colours.low, vmax=colours.high)
        return None
    share = Normalize(colours.low, colours.high, clip=True)(test.maps[n])
    axes.imshow(heat_overlay(test.images[n], np.asarray(share)))
    _contour(axes, test.maps[n] > colours.contour, "white", 0.8)
    if test.masks is not None:
        _contour(axes, test.masks[n], GREEN, 1.1)
    return None


def _contour(axes: Axes, mask: np.ndarray, color: str, width: float) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=color, linewidths=width)


def _title(axes: Axes, case: Case, kind: str, score: float, threshold: Threshold) -> None:
    color = RED if case.is_mistake else INK
    far = f"{score / threshold.value:.2f} × threshold" if threshold.value > 0 else f"score {score:.3g}"
    axes.set_title(
        f"{case.why}\n{kind}\n{far}", loc="center", color=color, fontsize=7, fontweight="normal", pad=4
    )


def _scale(figure: Figure, rows: np.ndarray, colours: ColourRange, what: str) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(colours.low, colours.high), HEAT), ax=rows, shrink=0.9, aspect=16, pad=0.015
    )
    bar.outline.set_visible(False)
    bar.set_ticks(list(colours), labels=[f"{value:.2g}" for value in colours])
    bar.ax.tick_params(labelsize=8.5)
    bar.ax.axhline(colours.contour, color="white", linewidth=0.8)
    bar.set_label(what, color=GREY)


def _caption(test: JudgedImages, colours: ColourRange | None) -> str:
    if colours is None:
        return ""
    known = "; green: the true defect" if test.masks is not None else ""
    return f"{LINES}{known}. All maps share one scale, which good images hardly leave"


@styled
def samples(images: Sequence[np.ndarray] | np.ndarray, title: str, caption: str = "") -> Figure:
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

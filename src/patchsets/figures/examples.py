"""Figures of single examples: where a network is wrong though sure. Shapes: H, W pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.common.figure_style import GREY, INK, RED, bare, drawable, headline, new_figure, styled

COLUMNS = 8


class Answer(Protocol):
    """Anything that has a class, and was taken for one."""

    label: int
    predicted: int


@dataclass
class Example:
    """One judged example: image `[H, W]` or `[H, W, 3]` uint8, class numbers, probability of the answer."""

    image: np.ndarray
    label: int
    predicted: int
    probability: float


@styled
def confident_mistakes(examples: Sequence[Example], classes: Sequence[str], total: int) -> Figure:
    """Draw the wrong answers a network was surest of, in the order given; `total` is how many it judged."""
    if not examples:
        return _no_mistakes(total)
    columns = min(COLUMNS, max(len(examples), 4))
    rows = -(-len(examples) // columns)
    figure = new_figure(1.25 * columns, 1.62 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    names = drawable(classes)
    for axes in grid.flat:
        bare(axes)
    for axes, example in zip(grid.flat, examples, strict=False):
        show(axes, example.image)
        title_answer(axes, example, names)
        axes.set_xlabel(f"{example.probability:.0%} sure", color=GREY, fontsize=8.5)
    headline(figure, "The most confident mistakes: true → predicted")
    return figure


def _no_mistakes(total: int) -> Figure:
    figure = new_figure(6.4, 1.6)
    axes = figure.subplots()
    bare(axes)
    axes.text(
        0.5,
        0.5,
        f"All {total} test examples are right.\nThere is no mistake to show.",
        ha="center",
        va="center",
        fontsize=13,
    )
    return figure


def show(axes: Axes, image: np.ndarray) -> None:
    """Draw an image `[H, W]` or `[H, W, 3]` uint8, its pixels as they are where there are few."""
    interpolation = "nearest" if max(image.shape) < 64 else "antialiased"
    axes.imshow(
        image, cmap="gray", vmin=0, vmax=255, interpolation=interpolation
    )  # RGB ignores the first three


def title_answer(axes: Axes, example: Answer, names: list[str]) -> None:
    """Write over an example what it is, or in red what it was taken for."""
    right = example.label == example.predicted
    title = names[example.label] if right else f"{names[example.label]} → {names[example.predicted]}"
    size = 10.5 if len(title) < 12 else 8.5 if len(title) < 18 else 7
    axes.set_title(
        title, loc="center", color=INK if right else RED, fontsize=size, fontweight="normal", pad=4
    )

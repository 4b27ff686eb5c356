"""Figures of single examples: what a network looks at, and where it is wrong though sure.

Shapes: H, W pixels; N elements of a set.

What decides in a bag: its elements in a row, their weights beneath.

Shapes: N elements of a bag, H, W pixels of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from workbench.common.figure_style import GREEN, GREY, INK, RED, bare, drawable, headline, new_figure, styled

COLUMNS = 8
WEIGHTS = colormaps["plasma"]
OPACITY = 0.65  # of the weights over the image


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
        _answer(axes, example, names)
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


@styled
def attention(
    examples: Sequence[Example], weight_HW: Sequence[np.ndarray], classes: Sequence[str], method: str
) -> Figure:
    """Draw each image, and beneath it the weight `[H, W]` of each pixel's patches (NaN: none was shown).

    A weight of 1 is an equal share; all images share one colour scale. `method` says where weights come from.
    """
    columns = len(examples)
    figure = new_figure(1.25 * max(columns, 4) + 0.7, 3.15)
    grid = figure.subplots(2, columns, squeeze=False)
    every_weight = np.concatenate([weight[~np.isnan(weight)] for weight in weight_HW])
    # Weights that hardly differ shall not look as if they did.
    scale = Normalize(every_weight.min(initial=0.75), every_weight.max(initial=1.25))
    names = drawable(classes)
    for column, (example, weight) in enumerate(zip(examples, weight_HW, strict=True)):
        for axes in grid[:, column]:
            bare(axes)
        show(grid[0, column], example.image)
        _answer(grid[0, column], example, names)
        show(grid[1, column], overlay(example.image, scale(weight)))
    bar = figure.colorbar(ScalarMappable(scale, WEIGHTS), ax=grid, shrink=0.8, aspect=22, pad=0.015)
    bar.outline.set_visible(False)
    bar.set_label("weight (1 = equal share)", color=GREY)
    headline(
        figure,
        "Where the network looks",
        f"colour: {method}\na red title is a mistake, true → predicted",
    )
    return figure


def overlay(image: np.ndarray, share_HW: np.ndarray) -> np.ndarray:
    """Lay the colours of weights between 0 and 1 over a greyed image; NaN leaves a pixel as it is.

    Returns `[H, W, 3]` between 0 and 1.
    """
    rgb = np.broadcast_to(image[..., None] if image.ndim == 2 else image, (*image.shape[:2], 3)) / 255
    share = np.asarray(np.ma.filled(share_HW, np.nan), dtype=float)
    grey = rgb.mean(axis=-1, keepdims=True)
    covered = (1 - OPACITY) * grey + OPACITY * WEIGHTS(share)[..., :3]
    return np.where(np.isnan(share)[..., None], rgb, covered)


def pixel_weights(
    shape: tuple[int, int], weight_N: np.ndarray, top_left_N2: np.ndarray, patch_size: int
) -> np.ndarray:
    """Return `[H, W]`: the mean weight of the patches over each pixel, NaN where there is none."""
    total, count = np.zeros(shape), np.zeros(shape)
    for weight, (y, x) in zip(weight_N, top_left_N2.astype(int), strict=True):
        patch = np.s_[y : y + patch_size, x : x + patch_size]
        total[patch] += weight
        count[patch] += 1
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def show(axes: Axes, image: np.ndarray) -> None:
    """Draw an image `[H, W]` or `[H, W, 3]` uint8, its pixels as they are where there are few."""
    interpolation = "nearest" if max(image.shape) < 64 else "antialiased"
    axes.imshow(
        image, cmap="gray", vmin=0, vmax=255, interpolation=interpolation
    )  # RGB ignores the first three


def _answer(axes: Axes, example: Example, names: list[str]) -> None:
    right = example.label == example.predicted
    title = names[example.label] if right else f"{names[example.label]} → {names[example.predicted]}"
    size = 10.5 if len(title) < 12 else 8.5 if len(title) < 18 else 7
    axes.set_title(
        title, loc="center", color=INK if right else RED, fontsize=size, fontweight="normal", pad=4
    )


WIDEST = 10.5  # inches


@dataclass
class Bag:
    """A bag that was judged: its elements as images `[N, H, W]` in 0..1, weights and true labels `[N]`."""

    tiles: np.ndarray
    weight: np.ndarray
    element_label: np.ndarray
    label: int
    predicted: int


@styled
def bag_attention(bags: Sequence[Bag], classes: Sequence[str], method: str) -> Figure:
    """Draw each bag as a strip of its elements, the weight of each beneath it; positive ones are framed."""
    names = drawable(classes)
    room_for_name = 0.15 * max(map(len, names)) + 0.8
    longest = max(len(bag.tiles) for bag in bags)
    inches = min(0.5, WIDEST / (longest + room_for_name))  # of a tile
    figure = new_figure(inches * (longest + room_for_name) + 0.2, 1.8 * inches * len(bags) + 0.7)
    grid = figure.subplots(len(bags), squeeze=False)[:, 0]
    top = max(1.0, *(float(bag.weight.max()) for bag in bags))
    for axes, bag in zip(grid, bags, strict=True):
        bare(axes)
        axes.set(xlim=(-room_for_name, longest), ylim=(-0.65, 0.9), aspect="equal", anchor="W")
        _name_bag(axes, bag, names)
        for n in range(len(bag.tiles)):
            _draw_element(axes, bag, n, 0.6 * float(bag.weight[n]) / top)
    headline(figure, "What decides in a bag", f"bars: {method}; green: what was looked for")
    return figure


def _name_bag(axes: Axes, bag: Bag, names: list[str]) -> None:
    right = bag.label == bag.predicted
    title = names[bag.label] if right else f"{names[bag.label]}\n→ {names[bag.predicted]}"
    axes.text(-0.2, 0.44, title, ha="right", va="center", color=INK if right else RED)


def _draw_element(axes: Axes, bag: Bag, n: int, height: float) -> None:
    left, right = n + 0.06, n + 0.94
    axes.imshow(
        bag.tiles[n], cmap="gray", vmin=0, vmax=1, extent=(left, right, 0, 0.88), interpolation="nearest"
    )
    axes.bar(n + 0.5, -height, width=0.88, bottom=-0.05, color=GREEN if bag.element_label[n] else GREY)
    if bag.element_label[n]:
        axes.plot([left, right, right, left, left], [0, 0, 0.88, 0.88, 0], color=GREEN)

"""What a network looks at: weights over images, beneath the elements of bags, and at coordinates.

Shapes: H, W pixels; N elements of a set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from patchsets.figures.examples import Example, show, title_answer
from workbench.common.figure_style import (
    DASHED,
    GREEN,
    GREY,
    INK,
    RED,
    bare,
    drawable,
    headline,
    new_figure,
    styled,
)

WEIGHTS = colormaps["plasma"]
OPACITY = 0.65  # of the weights over the image
FLAT = 0.4  # half of the weight on a larger share of the elements: none stands out


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
    shown = [weight[~np.isnan(weight)] for weight in weight_HW]
    scale = _scale(shown)
    names = drawable(classes)
    for column, (example, weight) in enumerate(zip(examples, weight_HW, strict=True)):
        for axes in grid[:, column]:
            bare(axes)
        show(grid[0, column], example.image)
        title_answer(grid[0, column], example, names)
        show(grid[1, column], overlay(example.image, scale(weight)))
    _colour_bar(figure, scale, grid)
    caption = f"colour: {method}\na red title is a mistake, true → predicted"
    _verdict(figure, "Where the network looks", shown, caption, "pixels")
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


def half_of(weight_N: np.ndarray) -> float:
    """Return the smallest share of the elements that has half of the weight: 0.5 where all weigh alike."""
    ordered = np.sort(weight_N)[::-1]
    reached = np.concatenate([[0], ordered.cumsum()])
    return float(np.interp(0.5 * reached[-1], reached, np.linspace(0, 1, len(reached))))


def _verdict(figure: Figure, title: str, weights: Iterable[np.ndarray], caption: str, of: str) -> None:
    """Write over the figure what it shows, or that nothing stands out, and beneath how unlike they weigh."""
    half = float(np.mean([half_of(weight) for weight in weights]))
    title = title if half < FLAT else "Nothing stands out: all weigh about alike"
    said = f"half of the weight lies on {half:.0%} of the {of} (50%: all weigh alike)"
    headline(figure, title, f"{caption}\n{said}")


def _scale(weights: Sequence[np.ndarray]) -> Normalize:
    """Return one scale for all, on which weights that hardly differ do not look as if they did."""
    every = np.concatenate(weights)
    return Normalize(every.min(initial=0.75), every.max(initial=1.25))


def _colour_bar(figure: Figure, scale: Normalize, grid: np.ndarray) -> None:
    bar = figure.colorbar(ScalarMappable(scale, WEIGHTS), ax=grid, shrink=0.8, aspect=22, pad=0.015)
    bar.outline.set_visible(False)
    bar.set_label("weight (1 = equal share)", color=GREY)


WIDEST = 10.5  # inches
LONGEST_BAR = 0.6  # in heights of an element


@dataclass
class Bag:
    """A bag that was judged: elements as images `[N, H, W]` in 0..1, weights, labels where known `[N]`."""

    tiles: np.ndarray
    weight: np.ndarray
    element_label: np.ndarray | None
    label: int
    predicted: int


@styled
def bag_attention(bags: Sequence[Bag], classes: Sequence[str], method: str) -> Figure:
    """Draw each bag as a strip of its elements, the weight of each beneath it; positive ones are framed.

    A weight of 1 is an equal share, which a dashed line marks. `method` says where weights come from.
    """
    names = drawable(classes)
    room_for_name = 0.15 * max(map(len, names)) + 0.8
    longest = max(len(bag.tiles) for bag in bags)
    inches = min(0.5, WIDEST / (longest + room_for_name))  # of a tile
    figure = new_figure(inches * (longest + room_for_name) + 0.2, 1.8 * inches * len(bags) + 0.7)
    grid = figure.subplots(len(bags), squeeze=False)[:, 0]
    top = max(2.0, *(float(bag.weight.max()) for bag in bags))
    for axes, bag in zip(grid, bags, strict=True):
        bare(axes)
        axes.set(xlim=(-room_for_name, longest), ylim=(-0.65, 0.9), aspect="equal", anchor="W")
        _name_bag(axes, bag, names)
        for n in range(len(bag.tiles)):
            _draw_element(axes, bag, n, LONGEST_BAR * float(bag.weight[n]) / top)
        axes.hlines(-0.05 - LONGEST_BAR / top, 0, len(bag.tiles), INK, DASHED, linewidth=0.8)
    caption = f"bars: {method}; dashed: an equal share, of which a full bar is {top:.3g}"
    caption += "\ngreen: what was looked for" * any(bag.element_label is not None for bag in bags)
    _verdict(figure, "What decides in a bag", [bag.weight for bag in bags], caption, "elements")
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
    is_sought = bag.element_label is not None and bag.element_label[n] > 0
    axes.bar(n + 0.5, -height, width=0.88, bottom=-0.05, color=GREEN if is_sought else GREY)
    if is_sought:
        axes.plot([left, right, right, left, left], [0, 0, 0.88, 0.88, 0], color=GREEN)


@dataclass
class Places:
    """A bag that was judged: its elements' coordinates (x, y) `[N, 2]`, weights, labels where known `[N]`."""

    xy: np.ndarray
    weight: np.ndarray
    element_label: np.ndarray | None
    label: int
    predicted: int


@styled
def attention_map(bags: Sequence[Places], classes: Sequence[str], method: str) -> Figure:
    """Draw the elements of each bag where they lie, coloured by weight; positive ones have a green edge.

    A weight of 1 is an equal share; all bags share one colour scale. `method` says where weights come from.
    """
    columns, side = min(4, len(bags)), 2.2
    rows = -(-len(bags) // columns)
    figure = new_figure(side * max(columns, 2) + 0.9, (side + 0.3) * rows + 0.9)
    grid = figure.subplots(rows, columns, squeeze=False)
    scale, names = _scale([bag.weight for bag in bags]), drawable(classes)
    for axes in grid.flat:
        bare(axes)
    for axes, bag in zip(grid.flat, bags, strict=False):
        title_answer(axes, bag, names)
        room = max(float(np.ptp(bag.xy, axis=0).max()), _step(bag.xy))
        square: Any = {"marker": "s", "s": np.clip((0.8 * 72 * side * _step(bag.xy) / room) ** 2, 1, 400)}
        axes.scatter(*bag.xy.T, c=bag.weight, cmap=WEIGHTS, norm=scale, linewidths=0, **square)
        if bag.element_label is not None:
            sought = bag.xy[bag.element_label > 0]
            axes.scatter(*sought.T, facecolors="none", edgecolors=GREEN, linewidths=0.8, **square)
        axes.set(aspect="equal")
        axes.invert_yaxis()
    _colour_bar(figure, scale, grid)
    caption = f"colour: {method}"
    caption += "; green: what was looked for" * any(bag.element_label is not None for bag in bags)
    _verdict(figure, "Where the network looks", [bag.weight for bag in bags], caption, "elements")
    return figure


def _step(xy_N2: np.ndarray) -> float:
    """Return how far neighbours lie apart: the smallest distance of two rows, or of two columns."""
    steps = np.concatenate([np.diff(np.unique(along)) for along in xy_N2.T])
    return float(steps.min()) if len(steps) else 1.0

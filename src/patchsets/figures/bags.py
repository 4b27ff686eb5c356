"""What decides in a bag: its elements in a row, their weights beneath.

Shapes: N elements of a bag, H, W pixels of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.common.figure_style import GREEN, GREY, INK, RED, bare, drawable, headline, new_figure, styled

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

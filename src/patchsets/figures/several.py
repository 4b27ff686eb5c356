"""Several labels, or several numbers, at a glance.

Shapes: N examples, C labels, K numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from workbench.common.figure_style import BLUE, DASHED, GREY, ORANGE, drawable, headline, new_figure, styled

MOST_LABELS = 40
MOST_NUMBERS = 6
COLUMNS = 3


@styled
def label_scores(scores: Mapping[str, Sequence[float]], share_C: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw two metrics of each label by name (NaN: unknown), the commonest labels first, and their shares."""
    order = np.argsort(-share_C, kind="stable")[:MOST_LABELS][::-1]
    figure = new_figure(6.4, 1.4 + 0.26 * len(order))
    axes = figure.subplots()
    places = np.arange(len(order))
    for (name, value_C), color in zip(scores.items(), (BLUE, ORANGE), strict=True):
        axes.plot(np.array(value_C)[order], places, "o", color=color, label=name)
    axes.plot(share_C[order], places, "|", color=GREY, markersize=11, label="share of examples")
    axes.axvline(0.5, color=GREY, linewidth=0.8, linestyle=DASHED)
    axes.set_yticks(places, np.array(drawable(names))[order])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.8, len(order) - 0.2))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    more = f"the {len(order)} commonest of {len(names)} labels" if len(order) < len(names) else ""
    headline(figure, "How well each label is told", more)
    return figure


@styled
def predicted_numbers(output_NK: np.ndarray, label_NK: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw what was predicted over what is true, a panel for each number; on the line it is right."""
    shown = min(len(names), MOST_NUMBERS)
    columns = min(COLUMNS, shown)
    rows = -(-shown // columns)
    figure = new_figure(3.6 * columns + 0.4, 3.5 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[shown:]:
        axes.set_visible(False)
    for k, name in enumerate(drawable(names)[:shown]):
        axes, true_N, said_N = grid.flat[k], label_NK[:, k], output_NK[:, k]
        ends = [min(true_N.min(), said_N.min()), max(true_N.max(), said_N.max())]
        axes.plot(ends, ends, color=GREY, linewidth=0.9, linestyle=DASHED)
        axes.plot(true_N, said_N, ".", color=BLUE, alpha=0.35, markersize=5, rasterized=True)
        axes.set(xlabel="true", ylabel="predicted")
        axes.set_title(f"{name}: off by {np.abs(said_N - true_N).mean():.3g} on average")
    more = f"{shown} of {len(names)} numbers" if shown < len(names) else ""
    headline(figure, "Predicted over true", more)
    return figure

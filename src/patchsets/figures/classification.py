"""The confusion matrix.

The receiver operating characteristic (ROC), with the area under it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from patchsets.anomaly.auroc import auroc
from workbench.common.figure_style import (
    BLUE,
    COUNTS,
    DASHED,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    drawable,
    new_figure,
    styled,
)

ROOM_FOR_PERCENT = 12  # classes; beyond it a cell holds its count alone, and names turn
ROOM_FOR_TEXT = 40
INCHES_PER_LETTER = 0.08


@styled
def confusion_matrix(count_CC: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw counts (rows true, columns predicted), coloured by their share of the row.

    A class that never occurs keeps a plain grey row.
    """
    C = len(classes)
    names = drawable(classes)
    size = float(np.clip(0.58 * C, 3.4, 8.6))
    room = 0.3 + INCHES_PER_LETTER * max(map(len, names))
    turns = room - 0.3 > size / C  # names too long to stand side by side
    figure = new_figure(size + room, size + 0.2 + (room if turns else 0.6))
    axes = figure.subplots()
    total_C = count_CC.sum(axis=1, keepdims=True)
    share_CC = np.divide(count_CC, total_C, out=np.full((C, C), np.nan), where=total_C > 0)
    axes.imshow(share_CC, cmap=COUNTS, vmin=0, vmax=1)
    _draw_cells(axes, C)
    if C <= ROOM_FOR_TEXT:
        _write_cells(axes, count_CC, share_CC)
    _name_classes(axes, names, turns)
    right, total = int(np.trace(count_CC)), int(count_CC.sum())
    always = int(count_CC.sum(axis=1).max(initial=0))
    remark = f"\nno better than always the commonest class ({always})" if right <= always else ""
    figure.suptitle(
        f"Confusion matrix: {right} of {total} right ({right / max(total, 1):.1%}){remark}",
        fontsize=11,
        fontweight="bold",
    )
    return figure


def _draw_cells(axes: Axes, C: int) -> None:
    edges = np.arange(C + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color=FAINT, linewidth=0.7)
    axes.spines[:].set(visible=True, color=GREY)


def _name_classes(axes: Axes, names: list[str], turns: bool) -> None:
    C = len(names)
    every = 1 + (C - 1) // ROOM_FOR_TEXT
    places, shown = list(range(0, C, every)), names[::every]
    axes.set_xticks(places, shown, rotation=90 if turns else 0)
    axes.set_yticks(places, shown)
    axes.tick_params(labelcolor=INK, labelsize=9 if C <= ROOM_FOR_PERCENT else 7.5)
    axes.set(xlabel="predicted", ylabel="true")


def _write_cells(axes: Axes, count_CC: np.ndarray, share_CC: np.ndarray) -> None:
    """Write what occurred into its cell; small mistakes, pale as they are, stand out by their colour."""
    has_percent = len(count_CC) <= ROOM_FOR_PERCENT
    for i, j in np.argwhere(count_CC > 0):
        share = share_CC[i, j]
        color = "white" if share > 0.5 else RED if i != j and share < 0.25 else INK
        text = f"{count_CC[i, j]}\n{share:.0%}" if has_percent else f"{count_CC[i, j]}"
        axes.text(j, i, text, ha="center", va="center", color=color, fontsize=8.5 if has_percent else 7)


NORMAL_95 = 1.96


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return the 95% interval of a proportion (Wilson 1927)."""
    z, p = NORMAL_95, successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


@styled
def accuracy_by_patches(correct: Mapping[int, tuple[int, int]], chance: float) -> Figure:
    """Draw accuracy over the number of patches shown, the largest being all of them.

    `correct` maps it to how many of how many were right; `chance` is the share of the commonest class.
    """
    figure = new_figure(6.4, 3.9)
    axes = figure.subplots()
    counts = sorted(correct)
    accuracy = [right / shown for right, shown in (correct[k] for k in counts)]
    low, high = zip(*(wilson_interval(*correct[k]) for k in counts), strict=True)
    axes.fill_between(counts, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95% interval (Wilson)")
    axes.plot(
        counts, accuracy, "o-", color=BLUE, markeredgecolor="white", markersize=7, label="test accuracy"
    )
    for k, value in zip(counts, accuracy, strict=True):
        below: Any = {"xytext": (0, -16), "textcoords": "offset points", "ha": "center"}
        axes.annotate(f"{value:.1%}", (k, value), fontsize=8.5, **below)
    axes.axhline(chance, color=GREY, linewidth=1, linestyle=DASHED, label="always the commonest class")
    axes.set_xscale("log")
    axes.set_xticks(counts, [*map(str, counts[:-1]), f"all ({counts[-1]})"])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="patches shown of each image", ylabel="accuracy", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("Accuracy by the number of patches shown")
    axes.legend(loc="lower right")
    return figure


@styled
def roc(scores: Mapping[str, np.ndarray], is_positive_N: np.ndarray) -> Figure:
    """Draw the ROC curve of each score `[N]`, by name; both classes must be there."""
    from sklearn.metrics import roc_curve

    figure = new_figure(4.8, 4.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=DASHED)
    for (name, score_N), color in zip(scores.items(), (BLUE, ORANGE, GREEN, RED), strict=False):
        false, true, _ = roc_curve(is_positive_N, score_N)
        axes.plot(false, true, color=color, label=f"{name} ({auroc(score_N, is_positive_N):.4f})")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.set_title("Receiver operating characteristic")
    axes.legend(loc="lower right", title="area under the curve", alignment="left")
    return figure

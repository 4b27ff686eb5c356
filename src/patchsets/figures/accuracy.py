"""Accuracy against the number of patches that are shown of each image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from patchsets.figures.style import BLUE, DASHED, GREY, new_figure, styled

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

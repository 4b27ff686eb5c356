"""How the scores of good images and anomalies lie, and where the threshold cuts them.

What every threshold would give: the ROC curve with its uncertainty, precision and recall.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from patchsets.anomaly.auroc import placements
from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.thresholds import Threshold
from workbench.common.figure_style import (
    BLUE,
    DASHED,
    GREY,
    INK,
    ORANGE,
    RED,
    drawable,
    headline,
    new_figure,
    styled,
)

BINS = 40
HELD_OUT = "good, held out"


@styled
def score_histogram(test: JudgedImages, validation: JudgedImages, threshold: Threshold) -> Figure:
    """Draw how the scores of the test split are spread, those of the held-out good images as an outline."""
    figure = new_figure(6.6, 4.0)
    axes = figure.subplots()
    held_out = validation.score[~validation.is_anomaly]
    edges: list[float] = np.histogram_bin_edges(np.concatenate([test.score, held_out]), BINS).tolist()
    for rows, color, name in (
        (~test.is_anomaly, BLUE, "good"),
        (test.is_anomaly, ORANGE, "anomaly"),
    ):
        if rows.any():
            axes.hist(
                test.score[rows], edges, weights=_equal_shares(rows.sum()), color=color, alpha=0.65,
                label=f"{name} ({rows.sum()})",
            )  # fmt: skip
    axes.hist(
        held_out, edges, weights=_equal_shares(len(held_out)), histtype="step", color=INK, linewidth=1.1,
        label=f"{HELD_OUT} ({len(held_out)})",
    )  # fmt: skip
    axes.axvline(
        threshold.value, color=INK, linestyle=DASHED, linewidth=1.2,
        label=f"threshold {threshold.value:.4g} ({threshold.method})",
    )  # fmt: skip
    axes.set(xlabel=f"score ({test.chosen})", ylabel="share of its images")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("Scores of good images and anomalies")
    axes.legend(loc="best", fontsize=8.5)
    return figure


@styled
def score_boxplot(test: JudgedImages, validation: JudgedImages, threshold: Threshold) -> Figure:
    """Draw the scores of each kind as a box and as points, and how many of them are called anomalies."""
    groups = _groups(test, validation)
    figure = new_figure(7.6, 1.3 + 0.46 * len(groups))
    axes = figure.subplots()
    boxes = axes.boxplot(
        [group.score for group in groups], orientation="horizontal", widths=0.56, showfliers=False,
        patch_artist=True, medianprops={"color": INK, "linewidth": 1.4},
    )  # fmt: skip
    for place, (box, group) in enumerate(zip(boxes["boxes"], groups, strict=True), start=1):
        box.set(facecolor=group.color, alpha=0.35, edgecolor=group.color)
        _points(axes, place, group, threshold)
        _count(axes, place, group, threshold)
    for line in (*boxes["whiskers"], *boxes["caps"]):
        line.set(color=GREY, linewidth=0.9)
    _mark(axes, threshold)
    axes.set_yticks(range(1, len(groups) + 1), [group.name for group in groups])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(False, axis="y")
    axes.set(xlabel=f"score ({test.chosen})", ylim=(len(groups) + 0.6, 0.4))
    headline(figure, "Scores by kind of image", "red: mistakes at the threshold; a box holds the middle half")
    return figure


class Group(NamedTuple):
    """Images that share a box."""

    name: str
    score: np.ndarray
    is_anomaly: bool
    color: str


def _groups(test: JudgedImages, validation: JudgedImages) -> list[Group]:
    """Return the held-out good images, the good ones of the test split, then defects, the clearest first."""
    kinds = test.kinds()
    defects = []
    groups = [Group(HELD_OUT, validation.score[~validation.is_anomaly], False, GREY)]
    for name, rows in zip(drawable(kinds), kinds.values(), strict=True):
        if test.is_anomaly[rows].any():
            defects.append(Group(name, test.score[rows], True, ORANGE))
        else:
            groups.append(Group(name, test.score[rows], False, BLUE))
    return groups + sorted(defects, key=lambda group: -float(np.median(group.score)))


def _equal_shares(number: int) -> np.ndarray:
    return np.full(number, 1 / max(number, 1))


def _points(axes: Axes, place: int, group: Group, threshold: Threshold) -> None:
    """Draw the scores, spread over the height of their box."""
    score = group.score
    height = place + np.random.default_rng(0).uniform(-0.2, 0.2, len(score))
    wrong = threshold.is_anomaly(score) != group.is_anomaly
    axes.scatter(score[~wrong], height[~wrong], s=7, color=INK, alpha=0.4, linewidths=0, zorder=3)
    axes.scatter(score[wrong], height[wrong], s=14, color=RED, alpha=0.9, linewidths=0, zorder=4)


def _count(axes: Axes, place: int, group: Group, threshold: Threshold) -> None:
    alarms = int(threshold.is_anomaly(group.score).sum())
    axes.annotate(
        f"{alarms} of {len(group.score)} {'found' if group.is_anomaly else 'alarms'}",
        (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
        color=INK if group.is_anomaly else GREY,
    )  # fmt: skip


def _mark(axes: Axes, threshold: Threshold) -> None:
    """Draw the threshold and say where it comes from, on the side with more room."""
    axes.axvline(threshold.value, color=INK, linestyle=DASHED, linewidth=1.2, zorder=2)
    left, right = axes.get_xlim()
    is_at_right = threshold.value > (left + right) / 2
    axes.annotate(
        f" threshold {threshold.value:.4g} ({threshold.method}) ",
        (threshold.value, 0.99), xycoords=("data", "axes fraction"), va="top", color=INK, fontsize=8.5,
        ha="right" if is_at_right else "left",
    )  # fmt: skip


@styled
def anomaly_roc(test: JudgedImages, threshold: Threshold, beside: Mapping[str, float]) -> Figure:
    """Draw the ROC curve of the chosen score; `beside` names AUROCs to compare with."""
    from sklearn.metrics import roc_curve

    figure = new_figure(4.9, 4.9)
    axes = figure.subplots()
    false, true, _ = roc_curve(test.is_anomaly, test.score)
    measured = placements(test.score, test.is_anomaly)
    low, high = measured.interval
    axes.plot(false, true, color=BLUE, label=f"{test.chosen}: {measured.area:.3f} ({low:.3f} to {high:.3f})")
    alarm = threshold.is_anomaly(test.score)
    _mark_threshold(axes, alarm[~test.is_anomaly].mean(), alarm[test.is_anomaly].mean(), threshold)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=DASHED)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false-positive rate", ylabel="recall (true-positive rate)")
    axes.legend(loc="lower right", title="area under the curve", alignment="left", fontsize=8.5)
    headline(figure, "Receiver operating characteristic", _compared(beside, measured.area))
    return figure


@styled
def precision_recall(test: JudgedImages, threshold: Threshold) -> Figure:
    """Draw precision over recall, and what calling every image an anomaly would give."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = new_figure(4.9, 4.6)
    axes = figure.subplots()
    precision, recall, _ = precision_recall_curve(test.is_anomaly, test.score)
    area = average_precision_score(test.is_anomaly, test.score)
    axes.step(recall, precision, where="post", color=BLUE, label=f"{test.chosen}: average {area:.3f}")
    alarm = threshold.is_anomaly(test.score)
    if alarm.any():
        _mark_threshold(axes, alarm[test.is_anomaly].mean(), test.is_anomaly[alarm].mean(), threshold)
    share = test.is_anomaly.mean()
    axes.axhline(share, color=GREY, linewidth=0.9, linestyle=DASHED, label=f"always alarm: {share:.3f}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall")
    axes.legend(loc="lower left", fontsize=8.5)
    return figure


def _mark_threshold(axes: Axes, x: float, y: float, threshold: Threshold) -> None:
    axes.plot(
        x, y, "o", color=INK, markeredgecolor="white", markersize=8, zorder=4,
        label=f"the threshold ({threshold.method})", clip_on=False,
    )  # fmt: skip


def _compared(beside: Mapping[str, float], area: float) -> str:
    listed = ", ".join(f"{name} {value:.3f}" for name, value in beside.items())
    better = [name for name, value in beside.items() if value >= area]
    said = f"\nit is no better than {' and '.join(better)}" if better else ""
    return f"beside it: {listed}{said}" if listed else ""

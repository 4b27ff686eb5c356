"""What every threshold would give: the ROC curve with its uncertainty, precision and recall."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.thresholds import Threshold
from patchsets.anomaly.uncertainty import auroc_interval, roc_band
from patchsets.figures.roc import area_under, receiver_operating_characteristic
from workbench.common.figure_style import BLUE, DASHED, GREY, INK, headline, new_figure, styled

RATES = np.linspace(0, 1, 201)


@styled
def anomaly_roc(test: JudgedImages, threshold: Threshold, beside: Mapping[str, float]) -> Figure:
    """Draw the ROC curve of the chosen score with its 95 % band; `beside` names AUROCs to compare with."""
    figure = new_figure(4.9, 4.9)
    axes = figure.subplots()
    rates = receiver_operating_characteristic(test.score, test.is_anomaly)
    low, high = auroc_interval(test.score, test.is_anomaly)
    axes.fill_between(
        RATES, *roc_band(test.score, test.is_anomaly, RATES), color=BLUE, alpha=0.18, linewidth=0,
        label="95% band (bootstrap over images)",
    )  # fmt: skip
    label = f"{test.chosen}: {area_under(*rates):.3f} ({low:.3f} to {high:.3f})"
    axes.plot(*rates, color=BLUE, label=label)
    alarm = threshold.is_anomaly(test.score)
    _mark(axes, alarm[~test.is_anomaly].mean(), alarm[test.is_anomaly].mean(), threshold)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=DASHED)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false-positive rate", ylabel="recall (true-positive rate)")
    axes.legend(loc="lower right", title="area under the curve", alignment="left", fontsize=8.5)
    headline(figure, "Receiver operating characteristic", _compared(beside))
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
        _mark(axes, alarm[test.is_anomaly].mean(), test.is_anomaly[alarm].mean(), threshold)
    share = test.is_anomaly.mean()
    axes.axhline(share, color=GREY, linewidth=0.9, linestyle=DASHED, label=f"always alarm: {share:.3f}")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall")
    axes.legend(loc="lower left", fontsize=8.5)
    return figure


def _mark(axes: Axes, x: float, y: float, threshold: Threshold) -> None:
    axes.plot(
        x, y, "o", color=INK, markeredgecolor="white", markersize=8, zorder=4,
        label=f"the threshold ({threshold.method})", clip_on=False,
    )  # fmt: skip


def _compared(beside: Mapping[str, float]) -> str:
    listed = ", ".join(f"{name} {value:.3f}" for name, value in beside.items())
    return f"beside it: {listed}" if listed else ""

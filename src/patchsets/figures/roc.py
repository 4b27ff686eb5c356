"""The receiver operating characteristic (ROC), and the area under it."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from workbench.common.figure_style import BLUE, DASHED, GREEN, GREY, ORANGE, RED, new_figure, styled


def receiver_operating_characteristic(
    score_N: np.ndarray, is_positive_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates over all thresholds; equal scores are one threshold."""
    order = np.argsort(-score_N, kind="stable")
    hits, alarms = np.cumsum(is_positive_N[order]), np.cumsum(~is_positive_N[order])
    last_of_equals = np.append(np.diff(score_N[order]) != 0, True)
    false_positive, true_positive = (
        np.append(0, sums[last_of_equals]) / max(sums[-1], 1) for sums in (alarms, hits)
    )
    return false_positive, true_positive


def area_under(false_positive: np.ndarray, true_positive: np.ndarray) -> float:
    """Return the area under a curve of rates."""
    return float(np.trapezoid(true_positive, false_positive))


@styled
def roc(scores: Mapping[str, np.ndarray], is_positive_N: np.ndarray) -> Figure:
    """Draw the ROC curve of each score `[N]`, by name."""
    figure = new_figure(4.8, 4.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=DASHED)
    for (name, score_N), color in zip(scores.items(), (BLUE, ORANGE, GREEN, RED), strict=False):
        rates = receiver_operating_characteristic(score_N, is_positive_N)
        axes.plot(*rates, color=color, label=f"{name} ({area_under(*rates):.4f})")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.set_title("Receiver operating characteristic")
    axes.legend(loc="lower right", title="area under the curve", alignment="left")
    return figure

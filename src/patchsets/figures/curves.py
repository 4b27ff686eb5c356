"""Learning curves, from the rows of a run's metrics.csv."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from workbench.common.figure_style import BLUE, DASHED, GREY, RED, new_figure, styled
from workbench.run.metrics_file import Row

SHOWN = {"loss": "Loss", "accuracy": "Accuracy", "auroc": "AUROC"}
WIDE_RANGE = 30  # a loss that falls by more than this factor is drawn on a logarithmic axis


@styled
def learning_curves(
    rows: Sequence[Row], monitor: str = "val/loss", mode: str = "min", keep: str = "best"
) -> Figure:
    """Draw training and validation by epoch; `monitor` is what chose the best one, by "min" or "max".

    With a `keep` of last no epoch was chosen.
    """
    names = {row.name.split("/")[-1].removesuffix("_epoch") for row in rows if row.name.startswith("val/")}
    panels = [name for name in SHOWN if name in names | {"loss"}]
    figure = new_figure(min(4.6 * len(panels) + 0.6, 10.8), 3.9)
    layout: Any = [panels, ["learning_rate", *panels[1:]]]
    axes = figure.subplot_mosaic(layout, height_ratios=[4, 1])
    to_epoch = _Epochs(rows)
    best = _best(rows, monitor, mode) if keep == "best" else None
    for name in panels:
        _draw_metric(axes[name], rows, name, to_epoch)
        _mark_best(axes[name], rows, name, best, to_epoch)
        axes[name].set_title(SHOWN[name] + _tested(rows, name))
        axes[name].legend(loc="best", fontsize=8.5)
    _draw_learning_rate(axes["learning_rate"], rows, to_epoch)
    for each in axes.values():
        each.set_xlim(0, to_epoch.end * 1.015)
        each.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes["loss"].tick_params(labelbottom=False)
    for name in ("learning_rate", *panels[1:]):
        axes[name].set_xlabel(to_epoch.label)
    return figure


class _Epochs:
    """Places the rows of one name by the number of epochs that were done when each was written."""

    def __init__(self, rows: Sequence[Row]) -> None:
        ends: dict[int, int] = {}
        for row in rows:
            if row.axis == "epoch" and not row.name.startswith("test/"):
                ends[row.epoch] = max(row.step, ends.get(row.epoch, 0))
        last_step = max((row.step for row in rows), default=1)
        self.label = "epoch" if ends else "step"
        self._steps = [-1, *(ends[epoch] for epoch in sorted(ends))] if ends else [-1, last_step]
        self._epochs = [0, *(epoch + 1 for epoch in sorted(ends))] if ends else [0, last_step + 1]
        self.end = self._epochs[-1]

    def __call__(self, rows: Sequence[Row]) -> np.ndarray:
        if rows and rows[0].axis == "step":
            return np.interp([row.step for row in rows], self._steps, self._epochs)
        return np.array([row.epoch + 1 for row in rows])


def _line(rows: Sequence[Row], name: str, to_epoch: _Epochs) -> tuple[np.ndarray, list[float]]:
    chosen = [row for row in rows if row.name == name]
    return to_epoch(chosen), [row.value for row in chosen]


def _draw_metric(axes: Axes, rows: Sequence[Row], name: str, to_epoch: _Epochs) -> None:
    step, epoch, validation = (
        _line(rows, full, to_epoch) for full in (f"train/{name}", f"train/{name}_epoch", f"val/{name}")
    )
    axes.plot(*step, color=BLUE, alpha=0.25, linewidth=0.9, label="training, steps" if step[1] else None)
    axes.plot(*epoch, color=BLUE, label="training, epoch" if epoch[1] else None)
    axes.plot(*validation, color=RED, label="validation" if validation[1] else None)
    values = [value for _, line in (epoch, validation) for value in line]
    if name == "loss" and values and min(values) > 0 and max(values) > WIDE_RANGE * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _best(rows: Sequence[Row], monitor: str, mode: str) -> int | None:
    watched = [(row.value, row.epoch) for row in rows if row.name == monitor and np.isfinite(row.value)]
    sign = 1 if mode == "min" else -1
    return min(watched, key=lambda pair: sign * pair[0])[1] if watched else None


def _mark_best(axes: Axes, rows: Sequence[Row], name: str, best: int | None, to_epoch: _Epochs) -> None:
    """Mark the epoch whose weights were kept."""
    kept = [row for row in rows if row.name == f"val/{name}" and row.epoch == best]
    for x, row in zip(to_epoch(kept), kept, strict=True):
        label = f"best epoch ({row.value:.3f})"
        axes.axvline(x, color=GREY, linewidth=0.8, linestyle=DASHED, zorder=1)
        axes.plot(x, row.value, "o", color=RED, markeredgecolor="white", markersize=7, label=label)


def _tested(rows: Sequence[Row], name: str) -> str:
    tested = [row.value for row in rows if row.name == f"test/{name}"]
    return f"  (test {tested[-1]:.3f})" if tested else ""


def _draw_learning_rate(axes: Axes, rows: Sequence[Row], to_epoch: _Epochs) -> None:
    places, rates = _line(rows, "learning_rate", to_epoch)
    axes.plot(places, rates, color=GREY, linewidth=1.4)
    axes.set_ylabel("learning\nrate", fontsize=8.5)
    highest = max(rates, default=1.0)
    axes.set_yticks([0, highest], ["0", f"{highest:.3g}"])
    axes.set_ylim(0, 1.1 * highest)

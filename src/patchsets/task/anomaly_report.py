"""What a judged anomaly run leaves to look at: predictions.csv and figures/*.png in its run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from patchsets.anomaly.detector import colour_range
from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.predictions import interesting_cases, write_predictions
from patchsets.anomaly.thresholds import Threshold, describe_drift
from patchsets.anomaly.trivial import best_trivial
from workbench.common.files import appearing_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


def write_report(
    folder: Path,
    test: JudgedImages,
    validation: JudgedImages,
    threshold: Threshold,
    extra: Mapping[str, Figure | float],
) -> None:
    """Write predictions and figures into a run folder; each file appears whole.

    `extra` holds further figures by name, and AUROCs to stand beside the run's own, such as `untrained`.
    """
    for remark in filter(None, (threshold.note, describe_drift(threshold, test.score[~test.is_anomaly]))):
        log.warning("%s", remark)
    write_predictions(folder / "predictions.csv", test, validation, threshold)
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in figures_of(test, validation, threshold, extra):
        with appearing_whole(folder / "figures" / f"{name}.png") as path:
            figure.savefig(path, format="png")


def figures_of(
    test: JudgedImages,
    validation: JudgedImages,
    threshold: Threshold,
    extra: Mapping[str, Figure | float],
) -> Iterator[tuple[str, Figure]]:
    """Give the figures that there is something for, by name."""
    from patchsets import figures

    yield "histogram", figures.score_histogram(test, validation, threshold)
    yield "boxplot", figures.score_boxplot(test, validation, threshold)
    beside = {name: value for name, value in extra.items() if isinstance(value, int | float)}
    if test.has_both:
        if test.images is not None:
            trivial = best_trivial(test.images, test.is_anomaly)
            beside[f"trivial ({trivial.name})"] = trivial.auroc
        yield "roc", figures.anomaly_roc(test, threshold, beside)
        yield "precision_recall", figures.precision_recall(test, threshold)
    if test.images is not None:
        colours = None
        if test.maps is not None and validation.maps is not None:
            colours = colour_range(validation.maps[~validation.is_anomaly])
        cases = interesting_cases(test, threshold)
        yield "reconstruction_comparison", figures.reconstruction_comparison(test, threshold, cases, colours)
    for name, value in extra.items():
        if not isinstance(value, int | float):
            yield name, value

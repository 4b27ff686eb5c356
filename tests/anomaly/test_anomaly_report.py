"""The report of an anomaly run draws whatever a run may hold, and can be redrawn from predictions.csv."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from judged_examples import judged, scored
from matplotlib.figure import Figure
from PIL import Image

from patchsets import figures
from patchsets.anomaly.detector import colour_range
from patchsets.anomaly.judged import JudgedImages
from patchsets.anomaly.predictions import interesting_cases, read_predictions, write_predictions
from patchsets.anomaly.thresholds import choose_threshold
from patchsets.task.anomaly_report import figures_of, write_report
from workbench.common.errors import DataError
from workbench.portable.pixels import heat_overlay

SCORE_FIGURES = {"histogram", "boxplot", "roc", "precision_recall"}


def pixels(figure: Figure) -> np.ndarray:
    file = BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(match=lambda part: hasattr(part, "get_text")))


def test_a_report_is_whole_and_readable(tmp_path: Path) -> None:
    test, validation = judged(12, 10, shift=0.2), judged(30, 0, seed=1)
    drawn = figures.samples(test.images[:5], "Samples")
    write_report(
        tmp_path,
        test,
        validation,
        choose_threshold("quantile", validation),
        {"untrained": 0.5, "samples": drawn},
    )
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    expected = SCORE_FIGURES | {"reconstruction_comparison", "samples"}
    assert files == {f"{name}.png" for name in expected}
    with Image.open(tmp_path / "figures/reconstruction_comparison.png") as widest:
        assert widest.size[0] <= 1200


def test_every_figure_of_scores_can_be_redrawn_from_the_predictions(tmp_path: Path) -> None:
    test, validation = judged(12, 10, shift=0.2), judged(30, 2, seed=1)
    threshold = choose_threshold("quantile", validation)
    write_predictions(tmp_path / "predictions.csv", test, validation, threshold)
    again = read_predictions(tmp_path / "predictions.csv")
    for name, score in test.scores.items():
        np.testing.assert_array_equal(again.test.scores[name], score)
    first = dict(figures_of(replace(test, images=None), validation, threshold, {}))
    second = dict(figures_of(*again, {}))
    assert set(first) == set(second) == SCORE_FIGURES
    for name, figure in first.items():
        assert texts(figure) == texts(second[name])
    for name in ("boxplot", "precision_recall"):
        np.testing.assert_array_equal(pixels(first[name]), pixels(second[name]), err_msg=name)
    assert [case.row for case in interesting_cases(test, threshold)] == [
        case.row for case in interesting_cases(again.test, again.threshold)
    ]


def test_the_roc_curve_says_which_control_it_does_not_beat() -> None:
    test, validation = judged(30, 30, shift=0.1), judged(30, 0, seed=1)
    threshold = choose_threshold("quantile", validation)
    said = texts(figures.anomaly_roc(test, threshold, {"untrained": 0.4, "trivial": 1.0}))
    assert "untrained 0.400, trivial 1.000\nit is no better than trivial" in said


def test_predictions_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "predictions.csv")
    (tmp_path / "predictions.csv").write_text("index,label,predicted\n0,1,1\n")
    with pytest.raises(DataError, match="no predictions of an anomaly task"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    "lacks", [{"reconstructions", "masks"}, {"reconstructions", "masks", "maps"}, {"images"}, {"colour"}]
)
def test_a_report_of_what_there_is(lacks: set[str]) -> None:
    test, validation = judged(1, 1), judged(20, 0, seed=1)
    if "colour" in lacks:
        grey: np.ndarray = test.images  # type: ignore[assignment]
        test = replace(test, images=np.repeat(grey[..., None], 3, axis=-1), reconstructions=None)
    else:
        test = replace(test, **dict.fromkeys(lacks))
    drawn = dict(figures_of(test, validation, choose_threshold("quantile", validation), {}))
    assert ("reconstruction_comparison" in drawn) == ("images" not in lacks)
    if "images" not in lacks:
        pixels(drawn["reconstruction_comparison"])


def test_figures_of_unusual_runs_draw() -> None:
    only_good = scored(np.arange(20.0), np.array([]))
    threshold = choose_threshold("quantile", only_good)
    equal = scored(np.ones(5), np.ones(5))
    assert set(dict(figures_of(only_good, only_good, threshold, {}))) == {"histogram", "boxplot"}
    drawn = dict(figures_of(equal, only_good, threshold, {}))
    assert set(drawn) == SCORE_FIGURES
    for name in ("boxplot", "roc"):
        pixels(drawn[name])


def test_kinds_of_any_name_and_a_perfect_ranking_draw() -> None:
    named = scored(np.arange(20.0), np.arange(30.0, 33))
    named = replace(named, kind=["good"] * 20 + ["日本語", "a$b$c_{", "a very long name of a kind of defect"])
    box = figures.score_boxplot(named, named, choose_threshold("quantile", named))
    pixels(box)
    assert "a very lo…defect" in texts(box)


def test_the_box_plot_counts_what_the_threshold_does() -> None:
    test = scored(np.array([0.0, 1, 2, 9]), np.array([3.0, 8, 10, 11, 12]))
    text = texts(figures.score_boxplot(test, test, choose_threshold(8.5, test)))
    assert "1 of 4 alarms" in text and "3 of 5 found" in text and "threshold 8.5 (manual)" in text


def test_mistakes_come_first_then_best_median_and_worst() -> None:
    test = scored(np.array([0.0, 1, 2, 3, 7, 8, 9]), np.array([2.5, 4, 10, 11, 12, 13]))
    cases = interesting_cases(test, choose_threshold(6.0, test))
    said = [(case.why, float(test.score[case.row])) for case in cases]
    assert said == [
        ("false alarm", 9), ("false alarm", 8), ("missed", 2.5), ("missed", 4),
        ("found: best", 13), ("found: median", 11), ("found: worst", 10),
        ("passed: best", 0), ("passed: median", 2), ("passed: worst", 3),
    ]  # fmt: skip
    assert [case.is_mistake for case in cases] == [True] * 4 + [False] * 6
    few = scored(np.array([1.0, 2]), np.array([9.0]))
    assert [case.why for case in interesting_cases(few, choose_threshold(6.0, few))] == [
        "found: best", "passed: best", "passed: median",
    ]  # fmt: skip


def test_good_images_do_not_glow_and_defects_do() -> None:
    test: JudgedImages = judged(10, 10)
    colours = colour_range(judged(40, 0, seed=1).maps)  # type: ignore[arg-type]  # they have maps
    share = (test.maps - colours.low) / (colours.high - colours.low)
    heat = np.stack([heat_overlay(*pair) for pair in zip(test.images, share, strict=True)])
    untouched = np.stack([heat_overlay(image, np.zeros(image.shape)) for image in test.images])
    change = np.abs(heat - untouched).mean(axis=3)
    assert change[test.masks].mean() > 3 * change[~test.masks].mean()
    assert (share[:10] > 1).mean() < 0.002 < 0.5 < (share[test.masks] > 1).mean()

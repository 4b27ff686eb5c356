"""Figures draw whatever a run may hold, and show what they say they show."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from PIL import Image

from patchsets import figures
from patchsets.figures.attention_maps import Places, half_of, overlay
from patchsets.figures.classification import wilson_interval
from patchsets.figures.curves import learning_curves
from patchsets.figures.examples import Example
from workbench.common.figure_style import drawable
from workbench.portable.pixels import pixel_weights
from workbench.run.metrics_file import Row

DIGITS = [str(digit) for digit in range(10)]
HARD_NAMES = ["日本語", "a$b$c_{", "ordinary", "🦆", "", "tab\there", "Straße", "a very long name of a class"]


def drawn(figure: Figure) -> np.ndarray:
    """Draw for real, as warnings such as missing glyphs come no earlier; return the pixels [H, W, 3]."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(match=lambda part: hasattr(part, "get_text")))


def run_of(epochs: int, *, metrics: tuple[str, ...] = ("loss", "accuracy"), steps: int = 5) -> list[Row]:
    rows = []
    for epoch in range(epochs):
        for step in range(epoch * steps, (epoch + 1) * steps):
            rows += [Row(0, "step", epoch, step, f"train/{name}", 1 / (step + 1)) for name in metrics]
            rows.append(Row(0, "step", epoch, step, "learning_rate", 1e-3))
        end = (epoch + 1) * steps - 1
        for name in metrics:
            rows.append(Row(0, "epoch", epoch, end, f"train/{name}_epoch", 1 / (end + 1)))
            rows.append(Row(0, "epoch", epoch, end, f"val/{name}", abs(epoch - 2) + 0.5))
    return rows


@pytest.mark.parametrize("metrics", [("loss",), ("loss", "accuracy"), ("loss", "accuracy", "auroc")])
@pytest.mark.parametrize("epochs", [1, 6])
def test_learning_curves_have_a_panel_per_metric(metrics: tuple[str, ...], epochs: int) -> None:
    figure = learning_curves(run_of(epochs, metrics=metrics))
    drawn(figure)
    assert len(figure.axes) == len(metrics) + 1


def test_learning_curves_mark_the_epoch_that_the_monitor_chose() -> None:
    rows = run_of(6)
    # val/loss is |epoch - 2| + 0.5: smallest in the third epoch, largest in the last.
    for mode, epoch in (("min", 3), ("max", 6)):
        loss = learning_curves(rows, "val/loss", mode).axes[0]
        (marked,) = [line for line in loss.lines if str(line.get_label()).startswith("best epoch")]
        assert list(marked.get_xdata()) == [epoch]


def test_learning_curves_place_steps_between_epochs() -> None:
    loss = learning_curves(run_of(2, steps=4)).axes[0]
    steps = loss.lines[0].get_xdata()
    np.testing.assert_allclose(steps, np.arange(1, 9) / 4)


def test_learning_curves_of_a_run_without_validation() -> None:
    rows = [row for row in run_of(3) if row.axis == "step"]
    assert "step" in texts(learning_curves(rows))


@pytest.mark.parametrize(
    "classes", [DIGITS, HARD_NAMES, [f"species number {n}" for n in range(30)], ["one", "two"]]
)
def test_confusion_matrix_draws(classes: list[str]) -> None:
    count = np.random.default_rng(0).integers(0, 30, (len(classes), len(classes)))
    count[0] = 0
    drawn(figures.confusion_matrix(count, classes))


def test_confusion_matrix_counts_and_colours() -> None:
    figure = figures.confusion_matrix(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]]), ["a", "b", "c"])
    text = texts(figure)
    assert "8 of 9 right (88.9%)" in text
    assert "no better than" not in text
    always = texts(figures.confusion_matrix(np.array([[9, 1], [2, 0]]), ["a", "b"]))
    assert "9 of 12 right (75.0%)\nno better than always the commonest class (10)" in always
    assert {"3\n75%", "1\n25%", "5\n100%"} <= {t.get_text() for t in figure.axes[0].texts}
    share = figure.axes[0].images[0].get_array()
    assert share[0, 0] == 0.75 and np.ma.getmaskarray(share)[1].all()


def test_only_one_class_was_seen() -> None:
    drawn(figures.confusion_matrix(np.array([[4, 0], [0, 0]]), ["seen", "never"]))
    drawn(figures.accuracy_by_patches({1: (4, 4)}, chance=1.0))


def test_names_that_no_font_can_draw_get_a_number() -> None:
    names = drawable([*HARD_NAMES, "\U0010fffd"])
    assert names[2] == "ordinary" and names[1] == "a$b$c_{" and names[6] == "Straße"
    assert names[4] == "class 4" and names[5] == "class 5" and names[8] == "class 8"
    assert len(names[7]) == 16 and names[7].startswith("a very") and names[7].endswith("class")


def test_wilson_interval_by_its_definition() -> None:
    # The bounds p solve (p_hat - p)^2 = z^2 p (1 - p) / n.
    for right, shown in ((0, 10), (7, 10), (355, 360), (10, 10)):
        for p in wilson_interval(right, shown):
            assert (right / shown - p) ** 2 == pytest.approx(1.96**2 * p * (1 - p) / shown, abs=1e-12)


def test_roc_of_known_ranks() -> None:
    positive = np.array([True, True, False, False])
    # AUROC is the share of (positive, negative) pairs in the right order, equal scores counting half.
    for score, share in (([4, 3, 2, 1], 1), ([1, 2, 3, 4], 0), ([2, 2, 2, 2], 0.5), ([3, 1, 2, 0], 0.75)):
        figure = figures.roc({"network": np.array(score, dtype=float)}, positive)
        assert figure.axes[0].lines[1].get_label() == f"network ({share:.4f})"


def example(label: int = 3, predicted: int = 3, image: np.ndarray | None = None) -> Example:
    return Example(np.zeros((8, 8), np.uint8) if image is None else image, label, predicted, 0.9)


@pytest.mark.parametrize("number", [1, 5, 16])
def test_mistakes_draw(number: int) -> None:
    figure = figures.confident_mistakes([example(3, 5)] * number, DIGITS, 360)
    drawn(figure)
    assert texts(figure).count("3 → 5") == number


def test_no_mistake_at_all_is_said() -> None:
    figure = figures.confident_mistakes([], DIGITS, 360)
    drawn(figure)
    assert "All 360" in texts(figure)


def test_images_of_all_kinds_and_names_draw() -> None:
    shapes = [(8, 8), (20, 7), (5, 40, 3), (300, 200, 3)]
    many = [example(n, 0, np.full(shape, 200, np.uint8)) for n, shape in enumerate(shapes)]
    drawn(figures.confident_mistakes(many, HARD_NAMES, 9))
    weights = [np.ones(shape[:2]) for shape in shapes]
    drawn(figures.attention(many, weights, HARD_NAMES, "how"))


def test_overlapping_patches_are_averaged_and_bare_pixels_stay_bare() -> None:
    weight = pixel_weights((3, 4), np.array([1.0, 3.0]), np.array([[0, 0], [0, 1]]), 2)
    nan = np.nan
    np.testing.assert_array_equal(weight, [[1, 2, 3, nan], [1, 2, 3, nan], [nan] * 4])


def test_the_most_attended_patch_is_the_brightest_and_a_hidden_pixel_keeps_its_colour() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image[:4] = 90
    share = np.full((6, 6), np.nan)
    share[:4] = 0.1
    share[1:3, 1:3] = 1.0
    seen = overlay(image, share)
    brightness = seen[:4].sum(axis=2)
    assert brightness[1:3, 1:3].min() > brightness[0].max()
    np.testing.assert_allclose(seen[4:], image[4:] / 255)


def test_bags_draw_with_frames_around_what_was_looked_for() -> None:
    tiles = np.random.default_rng(0).random((5, 8, 8))
    found = np.array([0, 1, 0, 0, 0])
    bag = figures.Bag(tiles, np.array([0, 5.0, 0, 0, 0]), found, 1, 1)
    short = figures.Bag(tiles[:1], np.ones(1), found[:1], 0, 1)
    figure = figures.bag_attention([bag, short], ["no 9", "日本語"], "how")
    drawn(figure)
    assert [len(axes.lines) for axes in figure.axes] == [1, 0]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert np.argmin(heights) == 1 and len(heights) == 5


def test_half_of_the_weight_lies_on_half_of_the_elements_where_all_weigh_alike() -> None:
    assert half_of(np.full(7, 0.3)) == pytest.approx(0.5) == half_of(np.ones(1))
    assert half_of(np.array([0, 0, 8.0, 0])) == pytest.approx(1 / 8)
    assert half_of(np.array([1.0, 3, 1, 1])) == pytest.approx(1 / 4)


def test_figures_say_where_nothing_stands_out() -> None:
    tiles, found = np.zeros((4, 8, 8)), np.array([0, 1, 0, 0])
    xy = np.array([[0, 0], [256, 0], [0, 256], [256, 256]])
    for weight, flat in ((np.ones(4), True), (np.array([0.1, 3.7, 0.1, 0.1]), False)):
        pixels = weight.reshape(2, 2).repeat(4, 0).repeat(4, 1)
        for figure in (
            figures.attention([example()], [pixels], DIGITS, "how"),
            figures.bag_attention([figures.Bag(tiles, weight, None, 1, 1)], ["no", "yes"], "how"),
            figures.attention_map([Places(xy, weight, found, 1, 0)] * 5, ["no", "yes"], "how"),
        ):
            drawn(figure)
            assert ("Nothing stands out" in texts(figure)) == flat
            half = "50%" if flat else "14%"
            assert f"half of the weight lies on {half} of the" in texts(figure)


@pytest.mark.parametrize("xy", [[[5, 5]], [[0, 0], [0, 0]], [[0, 0], [0, 7]]])
def test_elements_at_few_places_draw(xy: list[list[int]]) -> None:
    drawn(figures.attention_map([Places(np.array(xy), np.ones(len(xy)), None, 0, 0)], ["one"], "how"))


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(rcParams)
    drawn(figures.confusion_matrix(np.eye(2, dtype=int), ["a", "b"]))
    assert dict(rcParams) == before


def test_a_figure_fits_a_readme() -> None:
    many = [example()] * 8
    for figure in (
        learning_curves(run_of(3)),
        figures.confusion_matrix(np.eye(30, dtype=int), [f"a class with number {n}" for n in range(30)]),
        figures.attention(many, [np.ones((8, 8))] * 8, DIGITS, "how"),
    ):
        assert drawn(figure).shape[1] <= 1200

"""The last lines of a run are short, however much it measured."""

from pathlib import Path

import pytest

from workbench.train.summary_table import closing_table, no_better


def test_intervals_stand_beside_their_metric_and_folders_share_a_row(tmp_path: Path) -> None:
    metrics = {"test/auroc": 0.9, "test/auroc_low": 0.85, "test/auroc_high": 0.95, "test/loss": 0.00012}
    metrics |= {"test/recall_by_kind/scratch": 1.0, "test/recall_by_kind/日本": 0.5, "test/width_low": 2.0}
    metrics |= {"test/accuracy": 0.8, "test/trivial_accuracy": 0.5}
    lines = [line.strip() for line in closing_table(tmp_path, metrics, []).splitlines() if line]
    assert lines[:5] == [
        "test/auroc           0.9000  (0.8500 to 0.9500)",
        "test/loss            0.00012",
        "test/recall_by_kind  scratch 1.0000   日本 0.5000",
        "test/width_low       2.0000",
        "test/accuracy        0.8000  (trivial 0.5000)",
    ]


def test_a_row_too_wide_is_broken_between_its_values(tmp_path: Path) -> None:
    metrics = {f"test/recall_by_kind/kind_{n}": 0.5 for n in range(20)}
    lines = closing_table(tmp_path, metrics, []).splitlines()[1:-2]
    assert len(lines) > 2
    for line in lines:
        assert len(line) <= 80 and line.endswith("0.5000")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (
            {"test/auroc": 0.65, "test/trivial_auroc": 0.81},
            ["test/auroc 0.6500 than test/trivial_auroc 0.8100"],
        ),
        ({"test/auroc": 0.65, "test/untrained_auroc": 0.64, "test/trivial_auroc": 0.5}, []),
        ({"test/auroc": 0.65, "test/untrained_auroc": 0.65}, ["test/auroc 0.6500 than test/untrained_auroc"]),
        ({"test/auroc": 0.27}, ["test/auroc 0.2700 than chance 0.5000"]),
        ({"test/accuracy": 0.9333, "test/trivial_accuracy": 0.9333}, ["test/accuracy 0.9333 than"]),
        ({"test/loss": 0.2, "test/trivial_loss": 0.3}, []),
        ({"test/loss": 0.4, "test/trivial_loss": 0.3}, ["test/loss 0.4000 than test/trivial_loss 0.3000"]),
    ],
)
def test_what_is_no_better_than_a_control_is_said(
    metrics: dict[str, float], said: list[str], tmp_path: Path
) -> None:
    for line, begin in zip(no_better(metrics), said, strict=True):
        assert line.startswith(begin)
    assert closing_table(tmp_path, metrics, []).count("no better") == len(said)

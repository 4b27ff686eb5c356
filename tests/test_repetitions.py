"""Means over seeds and folds, their intervals and tests, and the table that is made of them."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from workbench.common.errors import ConfigError
from workbench.common.files import write_json
from workbench.history.comparison import compare_metrics
from workbench.history.publish import Table
from workbench.history.repetitions import difference, estimate, holm, ratio_of

RANDOM = np.random.default_rng(0)
ONE, OTHER = RANDOM.normal(0.9, 0.02, 10), RANDOM.normal(0.88, 0.02, 10)


def by(key: str, values: np.ndarray) -> dict[tuple[tuple[str, str], ...], float]:
    return {((key, str(place)),): float(value) for place, value in enumerate(values)}


def test_over_seeds_it_is_the_paired_t_test_of_scipy() -> None:
    found = difference(by("seed", ONE), by("seed", OTHER), test_per_train=0.25)
    expected = stats.ttest_rel(ONE, OTHER)
    assert found is not None and found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.error == pytest.approx(stats.sem(ONE - OTHER))


def test_over_folds_the_variance_is_corrected_for_what_they_share() -> None:
    found = difference(by("data.fold", ONE), by("data.fold", OTHER), test_per_train=1 / 9)
    gap = ONE - OTHER
    t = gap.mean() / math.sqrt(gap.var(ddof=1) * (1 / 10 + 1 / 9))
    assert found is not None and found.p == pytest.approx(2 * stats.t.sf(abs(t), 9))
    plain = stats.ttest_rel(ONE, OTHER)
    assert found.p > plain.pvalue
    assert found.error == pytest.approx(stats.sem(gap))  # as papers print it


def test_the_corrected_test_is_seldom_wrong_where_the_plain_one_often_is() -> None:
    """What all splits of one sample have in common is chance too: here the mean of what is tested."""
    random, runs, wrong = np.random.default_rng(1), 300, {0.0: 0, 0.5: 0}
    for _ in range(runs):
        sample = random.normal(size=90)
        tested = [random.permutation(sample)[:30] for _ in range(10)]
        values = by("data.split_seed", np.mean(tested, axis=1))
        for ratio in wrong:
            p = estimate(values, ratio).p
            wrong[ratio] += p is not None and p < 0.05
    assert wrong[0.0] / runs > 0.2 > 0.1 > wrong[0.5] / runs


def test_seeds_are_averaged_within_each_fold() -> None:
    values = {
        (("data.fold", fold), ("seed", seed)): float(value)
        for (fold, seed), value in zip([(f, s) for f in "01234" for s in "01"], ONE, strict=True)
    }
    folds = ONE.reshape(5, 2).mean(axis=1)
    assert estimate(values, 0.25) == estimate(by("data.fold", folds), 0.25)
    assert estimate(values, 0.25).size == 5


def test_only_what_both_have_is_paired_and_one_pair_tells_no_chance() -> None:
    one, other = by("seed", ONE), by("seed", OTHER[:4])
    assert difference(one, other, 0) == difference(by("seed", ONE[:4]), other, 0)
    single = difference(one, by("seed", OTHER[:1]), 0)
    assert single is not None and single.mean == pytest.approx(ONE[0] - OTHER[0]) and single.p is None
    assert difference(one, {}, 0) is None
    same = difference(one, one, 0)
    assert same is not None and same.p == 1


def test_several_tests_are_corrected_as_holm_says() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_the_ratio_is_that_of_the_data_else_of_the_folds(tmp_path: Path) -> None:
    folds = [(("data.fold", str(fold)),) for fold in range(5)]
    assert ratio_of([tmp_path], folds) == 1 / 4
    write_json(
        tmp_path / "data.json", {"train": {"counts": {"a": 50, "b": 10}}, "test": {"counts": {"a": 20}}}
    )
    assert ratio_of([tmp_path], folds) == pytest.approx(1 / 3)
    write_json(tmp_path / "data.json", {"train": {"sets": 40}, "test": {"sets": 10}})
    assert ratio_of([tmp_path], folds) == 1 / 4


def table_of(place: Path, values: dict[str, np.ndarray], name: str = "accuracy", key: str = "seed") -> Table:
    """Return the table of runs that reached these values, each method's by seed."""
    runs = []
    for method, reached in values.items():
        for number, value in enumerate(reached):
            folder = place / f"{method}{number}"
            folder.mkdir(parents=True)
            metrics = {"test/loss": 1.0, f"test/{name}": float(value), f"test/{name}_low": 0.0}
            write_json(folder / "summary.json", {"status": "finished", "metrics": metrics})
            runs.append(({"model": method, key: str(number)}, folder))
    return compare_metrics(runs)


def test_the_table_in_text_and_numbers(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"net_a": OTHER, "net_b": ONE, "c": OTHER - 0.5})
    text = table.as_text()
    assert table.header == ["model", "accuracy", "s.e.", "95 %", "behind", "p", "loss", "runs"]
    assert f"{ONE.mean():.3f} ± {ONE.std(ddof=1):.3f}" in text and "paired t-test" in text
    rows = list(csv.DictReader(io.StringIO(table.as_csv())))
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(
        [OTHER.mean(), ONE.mean(), OTHER.mean() - 0.5]
    )
    p = stats.ttest_rel(ONE, OTHER).pvalue
    assert float(rows[0]["p_uncorrected"]) == pytest.approx(p) == pytest.approx(float(rows[0]["p"]))
    assert rows[1]["behind"] == "" and float(rows[2]["behind"]) == pytest.approx(
        ONE.mean() - OTHER.mean() + 0.5
    )
    latex = table.as_latex()
    assert r"net\_b & \textbf{" in latex and r"$\pm$" in latex and r"95 \%" in latex
    assert latex.count("textbf") == 1 and "\\bottomrule" in latex
    assert all(line.startswith("% ") for line in latex[: latex.index("\\begin")].splitlines())


def test_less_of_an_error_is_better(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": ONE, "b": OTHER}, "absolute_error", "data.fold")
    assert [line[table.header.index("behind")] == "best" for line in table.lines] == [False, True]
    assert float(table.numbers[0]["behind"]) > 0
    folders = {name: [tmp_path / f"{name}{number}" for number in range(10)] for name in "ab"}
    runs = [({"model": name, "seed": folder.name}, folder) for name in "ab" for folder in folders[name]]
    assert compare_metrics(runs, "absolute_error", "maximize").best == [0]
    assert "corrected resampled t-test" in table.legend and "Nadeau and Bengio 2003" in table.legend


def test_rows_that_lack_runs_and_runs_alone_say_so(tmp_path: Path) -> None:
    table = table_of(tmp_path / "some", {"a": ONE, "b": np.append(OTHER[:3], np.nan)})
    assert table.remarks == ["incomplete: b has accuracy of 3 of 10 runs"]
    with_others = compare_metrics(
        [
            ({"model": "a", "seed": "0"}, tmp_path / "some/a0"),
            ({"model": "b", "seed": "1"}, tmp_path / "some/b1"),
        ]
    )
    assert sorted(line[2] for line in with_others.lines) == ["", "best"] and len(with_others.best) == 1
    alone = table_of(tmp_path / "alone", {"a": ONE[:1], "b": OTHER[:1]})
    assert alone.header == ["model", "accuracy", "behind", "loss", "runs"]
    assert "one run of each tells no chance from a difference" in alone.legend


def test_a_metric_is_chosen_by_name(tmp_path: Path) -> None:
    table_of(tmp_path, {"a": ONE})
    runs = [({"model": "a", "seed": str(seed)}, tmp_path / f"a{seed}") for seed in range(10)]
    assert compare_metrics(runs, "test/loss").header[1] == "loss"
    with pytest.raises(ConfigError, match=r"metric: no run has test/acuracy: did you mean accuracy\?"):
        compare_metrics(runs, "acuracy")

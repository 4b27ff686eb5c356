"""One way to divide examples: by fractions, folds or as the data say, and never a group in two splits."""

from typing import Any

import numpy as np
import pytest

from patchsets.data.splitting import Examples, Splitting, divide, split_groups
from workbench.common.errors import ConfigError, DataError

LABEL = np.arange(60) % 3
NAMES = [str(row) for row in range(60)]
CLASSES = ["a", "b", "c"]


def examples(**known: Any) -> Examples:
    return Examples(**{"name": NAMES, "label": LABEL, "classes": CLASSES} | known)


def splits_of(group: list[str], rows: dict[str, np.ndarray]) -> dict[str, set[str]]:
    return {split: {group[row] for row in part} for split, part in rows.items()}


def test_the_rows_of_old_words_stay_as_they_were() -> None:
    content = [f"{row * 7919 % 60:02}" for row in range(60)]
    rows = divide(examples(content=content), Splitting(0.2, 0.2, 1))
    assert rows["test"].tolist() == [2, 7, 16, 25, 29, 33, 35, 36, 37, 44, 54, 57]
    assert rows["val"].tolist() == [4, 8, 15, 20, 27, 30, 32, 40, 43, 45, 46, 53]


def test_each_example_is_tested_in_one_fold_whose_classes_are_even() -> None:
    parts = [divide(examples(), Splitting(val_fraction=0.2, folds=5, fold=fold)) for fold in range(5)]
    assert sorted(np.concatenate([part["test"] for part in parts])) == list(range(60))
    for part in parts:
        assert sorted(np.concatenate(list(part.values()))) == list(range(60))
        assert np.bincount(LABEL[part["test"]]).tolist() == [4, 4, 4]
        assert np.bincount(LABEL[part["val"]]).tolist() == [3, 3, 3]


def test_a_repetition_draws_other_folds() -> None:
    def tested(seed: int) -> list[int]:
        return divide(examples(), Splitting(split_seed=seed, folds=5, fold=0))["test"].tolist()

    assert tested(0) == tested(0) != tested(1)


@pytest.mark.parametrize("asked", [{"folds": 4, "fold": 1}, {}])
def test_no_group_and_no_content_is_in_two_splits(asked: dict[str, int]) -> None:
    group = [f"patient {row // 3}" for row in range(60)]
    content = [str(row % 57) for row in range(60)]  # the last three are the first three again
    rows = divide(examples(group=group, content=content), Splitting(**asked))
    for known in (group, content):
        train, val, test = (splits_of(known, rows)[split] for split in ("train", "val", "test"))
        assert not (train & val or train & test or val & test)
    assert len({split for split, part in rows.items() for row in (0, 59) if row in part}) == 1


def test_a_group_of_several_classes_counts_for_the_rarest() -> None:
    group = [f"{row // 2:02}" for row in range(40)]
    label = np.zeros(40, np.int64)
    label[::8] = 1  # in 5 of 20 patients, whose other image is of class 0
    rows = split_groups(group, label, val=0.2, test=0.2, seed=0)
    assert [int(label[part].sum()) for part in rows.values()] == [1, 1, 3]


def test_no_validation_where_its_share_is_0() -> None:
    assert set(divide(examples(), Splitting(val_fraction=0))) == {"train", "test"}
    assert set(divide(examples(), Splitting(val_fraction=0, folds=3, fold=0))) == {"train", "test"}


def test_what_the_data_say_wins_over_fractions() -> None:
    split = ["train"] * 40 + ["test"] * 20
    rows = divide(examples(split=split), Splitting(val_fraction=0.1))
    assert rows["test"].tolist() == list(range(40, 60)) and len(rows["val"]) == 3 and len(rows["train"]) == 37
    fold = [row // 20 for row in range(60)]
    rows = divide(examples(fold=fold), Splitting(val_fraction=0, folds=5, fold=2))
    assert rows["test"].tolist() == list(range(40, 60)) and rows["train"].tolist() == list(range(40))


def test_a_class_that_a_given_split_lacks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    whole = examples()
    first = [row for row, label in enumerate(whole.label) if label == whole.label[0]]
    split = ["test" if row in first[:5] else "train" for row in range(60)]
    divide(examples(split=split), Splitting())
    assert "data: test has no " in caplog.text


def test_of_several_labels_the_rarest_are_shared_out() -> None:
    label = np.zeros((60, 2))
    label[:30, 0], label[::12, 1] = 1, 1  # the second label has 5 examples
    rows = divide(examples(label=label, classes=["often", "seldom"]), Splitting(0.2, 0.2))
    assert {split: int(label[part, 1].sum()) for split, part in rows.items()} == {
        "train": 3, "val": 1, "test": 1
    }  # fmt: skip


def test_numbers_are_divided_without_classes() -> None:
    rows = divide(examples(label=np.linspace(0, 1, 60), classes=[]), Splitting(folds=6, fold=5))
    assert len(rows["test"]) == 10


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a group in two splits": (
        {"split": ["train", "test"] * 30, "group": [str(row // 2) for row in range(60)]},
        {},
        r"^30 groups are in two splits, put each into one: 0 \(test, train\); 1 \(test",
    ),
    "a group in two folds": (
        {"fold": [row % 5 for row in range(60)], "group": ["x"] * 7 + NAMES[7:]},
        {"fold": 0},
        r"^1 groups are in two folds, .* x \(0, 1, 2, 3, 4\)$",
    ),
    "folds without a class": (
        {"fold": [row % 3 for row in range(60)]},
        {"fold": 0},
        r"a \(20\), b \(20\), c \(20\) .* fold 0 has no b, c; fold 1 has no a, c; fold 2 has no a, b; add",
    ),
    "a class of two": ({"label": np.array([1] * 58 + [0, 0])}, {}, r"different examples of a \(2\), c \(0\)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_all_at_once(mistake: str) -> None:
    known, asked, said = MISTAKES[mistake]
    with pytest.raises(DataError, match=said):
        divide(examples(**known), Splitting(**asked))


@pytest.mark.parametrize(
    ("known", "asked", "said"),
    [
        ({}, {"folds": 5}, r"data.fold: None is none of 5 folds; .* data.fold=0 to 4"),
        ({}, {"folds": 5, "fold": 5}, r"data.fold: 5 is none of 5 folds"),
        ({}, {"fold": 0}, r"data.folds: say how many"),
        ({}, {"folds": 61, "fold": 0}, r"data.folds: 61 folds of 60 different"),
        ({}, {"test_fraction": 0}, r"data.test_fraction: 0 leaves no example to test on"),
        (
            {"fold": [0, 2] * 30},
            {"fold": 1},
            r"data.fold: 1 is none of the folds of the data, .* 0, 2",
        ),
        ({"fold": [0, 2] * 30}, {}, r"data.fold: the examples have folds; say which"),
        ({"split": ["train", "test"] * 30}, {"folds": 3, "fold": 0}, r"folds would train on their test"),
    ],
)
def test_folds_that_cannot_be_are_refused(known: dict[str, Any], asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        divide(examples(**known), Splitting(**asked))

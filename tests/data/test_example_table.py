"""A CSV says labels of three kinds, splits, groups and folds; every mistake in it is named at once."""

from pathlib import Path

import numpy as np
import pytest

from patchsets.data.example_table import ExampleTable, Wanted, groups_in, read_rows, read_table
from workbench.common.errors import ConfigError, DataError


def table(tmp_path: Path, text: str, wanted: Wanted = Wanted(), missing: str = "?") -> ExampleTable:  # noqa: B008
    file = tmp_path / "labels.csv"
    file.write_text(text, encoding="utf-8-sig")
    return read_table(read_rows(file), wanted, lambda name: None if name == missing else tmp_path / name)


def test_classes_splits_groups_and_folds(tmp_path: Path) -> None:
    found = table(tmp_path, "path;label;split;group;fold\na;10;Train;x;0\nb;9;valid;y;0\nc;10;test;z;0\n\n")
    assert found.wrong == [] and found.paths == [tmp_path / name for name in "abc"]
    known = found.examples
    assert known.classes == ["9", "10"] and known.label.tolist() == [1, 0, 1]
    assert known.split == ["train", "val", "test"] and known.group == ["x", "y", "z"]
    assert known.fold == [0, 0, 0]


def test_several_labels_in_one_column_or_one_column_each(tmp_path: Path) -> None:
    one = table(tmp_path, 'path,label\na,red; big\nb,""\nc,big\n', Wanted("several"))
    each = table(tmp_path, "path,big,red\na,1,1\nb,0,0\nc,1,0\n", Wanted("several", ["big", "red"]))
    for found in (one, each):
        assert found.examples.classes == ["big", "red"]
        assert found.examples.label.tolist() == [[1, 1], [0, 0], [1, 0]]
        assert found.examples.label.dtype == np.float32


def test_numbers_to_regress(tmp_path: Path) -> None:
    text = "path,age,size\na,1.5,2\nb,-1,1e3\n"
    both = table(tmp_path, text, Wanted("numbers", ["age", "size"]))
    assert both.examples.label.tolist() == [[1.5, 2], [-1, 1000]]
    assert both.examples.classes == [] and both.targets == ["age", "size"]
    assert table(tmp_path, text, Wanted("numbers", ["age"])).examples.label.tolist() == [1.5, -1]


def test_the_columns_of_clam(tmp_path: Path) -> None:
    found = table(tmp_path, "case_id,slide_id,label\np1,a.svs,tumor\np1,b.svs,normal\n")
    assert list(found.examples.name) == ["a.svs", "b.svs"] and found.examples.group == ["p1", "p1"]


def test_a_group_is_a_column_or_stands_in_the_path(tmp_path: Path) -> None:
    text = "path,label,ward\np1_a,x,w1\np12_b,y,w2\n"
    assert table(tmp_path, text, Wanted(group="ward")).examples.group == ["w1", "w2"]
    assert table(tmp_path, text, Wanted(group=r"p(\d+)_")).examples.group == ["1", "12"]
    assert groups_in(["p1_a", "p12_b"], r"^p\d+") == ["p1", "p12"]
    with pytest.raises(ConfigError, match=r"data.group: warrd is not found in p1_a, p12_b; nor .* ward$"):
        table(tmp_path, text, Wanted(group="warrd"))


def test_every_mistake_in_the_rows_is_named_at_once(tmp_path: Path) -> None:
    text = "path,label,split,group,fold\na,x,train,1,0\nb,,dev,1,zero\ngone,y,test,1,1\na,x,train,2,0\nc,x\n"
    assert table(tmp_path, text, missing="gone").wrong == [
        "line 6 has 2 cells for 5 columns",
        "line 4: there is no file gone below data.root",
        "line 5: a is in line 2 too",
        "line 3: label is '', not a class",
        "line 3: split is 'dev', not train, val or test",
        "line 3: fold is 'zero', not a number of a fold",
        "group 1 (test, train) is in two splits",
        "group 1 (0, 1) is in two folds",
    ]


def test_a_fold_without_a_class_is_named_where_every_fold_is_known(tmp_path: Path) -> None:
    text = "path,label,fold\na,x,1\nb,y,1\nc,x,2\nd,y,{}\n"
    assert table(tmp_path, text.format(1)).wrong == ["fold 2 has no y"]
    assert table(tmp_path, text.format("nan")).wrong == ["line 5: fold is 'nan', not a number of a fold"]


def test_numbers_and_marks_that_are_none(tmp_path: Path) -> None:
    text = "path,age\na,nan\nb,old\nc,2\n"
    wrong = ["line 2: age is 'nan', not a number", "line 3: age is 'old', not a number"]
    assert table(tmp_path, text, Wanted("numbers", ["age"])).wrong == wrong
    marks = table(tmp_path, "path,u,v\na,2,1\n", Wanted("several", ["u", "v"]))
    assert marks.wrong == ["line 2: u is '2', not 0 or 1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n", "has no rows"),
        ("path,label,label\na,x,y\n", "two columns label"),
        ("name,label\na,x\n", "none of path, file, slide_id, bag, bag_name among name, label"),
        ("path,class\na,x\n", "no column label in path, class; name the column of labels by data.targets"),
        ('path,label\na,"x\n', "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=said):
        table(tmp_path, text)

"""Images that a CSV lists: labels of three kinds, groups, splits; and groups that stand in paths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import read_by, start
from PIL import Image
from whole_command import QUICK

from patchsets.data.folder import Folder
from workbench.common.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of 12 patients, two of each, without folders of classes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    (tmp_path / "images/scans").mkdir(parents=True)
    for number in range(24):
        pixels = random.integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/scans/p{number // 2:02}_{number}.png")
    return tmp_path / "images"


def write_table(root: Path, header: str, row: str, rows: int = 24) -> None:
    lines = [
        f"scans/p{n // 2:02}_{n}.png," + row.format(n=n, p=n // 2, c="ab"[n // 2 % 2]) for n in range(rows)
    ]
    (root / "labels.csv").write_text("\n".join([f"path,{header}", *lines]))


def read(root: Path, **words: Any) -> Folder:
    data = Folder(4, 0, str(root), patch_size=4, **({"table": "labels.csv"} | words))
    data.find_files()
    data.setup()
    return data


def patients(data: Folder, split: str) -> set[str]:
    return {data.file_name(split, row)[6:9] for row in range(len(data.splits[split].label))}


@pytest.mark.parametrize("group", [r"p\d+_", "patient_of"])
def test_no_patient_is_in_two_splits(group: str, root: Path) -> None:
    write_table(root, "label,patient_of", "{c},{p}")
    data = read(root, group=group, folds=3, fold=1, val_fraction=0.3)
    train, val, test = (patients(data, split) for split in ("train", "val", "test"))
    assert train and len(val) == 2 and len(test) == 4 and not (train & val or train & test or val & test)
    assert data.classes == ["a", "b"] and data.fingerprint()["test"]["counts"] == {"a": 4, "b": 4}


def test_the_split_of_a_table_wins(root: Path) -> None:
    write_table(root, "label,split", "{c},train")
    lines = (root / "labels.csv").read_text().splitlines()
    lines[-4:] = [line.replace("train", "test") for line in lines[-4:]]
    (root / "labels.csv").write_text("\n".join(lines))
    data = read(root)
    assert patients(data, "test") == {"p10", "p11"} and len(data.splits["val"].label) == 4


def test_several_labels_and_numbers(root: Path) -> None:
    write_table(root, "label,age", "{c};all,{n}.5")
    several = read(root, labels="several")
    assert several.classes == ["a", "all", "b"] and several.splits["train"].label.shape[1] == 3
    assert sum(several.fingerprint()[split]["counts"]["all"] for split in several.splits) == 24
    numbers = read(root, labels="numbers", targets=["age"])
    assert numbers.classes == [] and numbers.targets == ["age"]
    row = int(numbers.file_name("test", 0)[10:-4])
    assert numbers.splits["test"].label[0].item() == row + 0.5


def test_groups_without_a_table_are_found_in_paths(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
    for number, path in enumerate(sorted((root / "scans").iterdir())):
        path.rename(root / "ab"[number // 2 % 2] / path.name)
    (root / "scans").rmdir()
    data = read(root, table=None, group=r"/(p\d+)_", folds=3, fold=0)
    names = {
        split: {data.file_name(split, r)[2:5] for r in range(len(p.label))}
        for split, p in data.splits.items()
    }
    assert not names["train"] & names["test"]
    with pytest.raises(ConfigError, match=r"data.group: x\(\\d\) is not found in a/p00_0.png, "):
        read(root, table=None, group=r"x(\d)")


def test_mistakes_in_a_table_are_one_line(root: Path) -> None:
    write_table(root, "label", "{c}")
    with (root / "labels.csv").open("a") as file:
        file.write("\nscans/none.png,a\nscans/p00_0.png,b\n../images/scans/p00_1.png,a")
    with pytest.raises(DataError) as caught:
        read(root)
    assert str(caught.value).endswith(
        "labels.csv has mistakes (3): line 26: there is no file scans/none.png below data.root; "
        "line 27: scans/p00_0.png is in line 2 too; "
        "line 28: there is no file ../images/scans/p00_1.png below data.root"
    )
    with pytest.raises(ConfigError, match=r"data.table: name the CSV that holds such labels"):
        read(root, table=None, labels="several")


def test_a_run_learns_from_a_table(root: Path, tmp_path: Path) -> None:
    write_table(root, "label", "{c}")
    words = read_by(["data=folder", "model=deep_sets"], QUICK)
    words += [f"data.root={root}", "data.table=labels.csv", "data.patch_size=4", "data.stride=4"]
    metrics = start(*words, "data.num_workers=0", f"outputs={tmp_path}/outputs")
    assert "test/accuracy" in metrics

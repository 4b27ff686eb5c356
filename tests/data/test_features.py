"""Bags of features in files of every kind and layout: read lazily, and refused, all at once, where unfit."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from in_process import read_by, start
from safetensors.torch import save_file
from whole_command import QUICK

from patchsets.data import feature_files, feature_folder
from patchsets.data import features as feature_data
from patchsets.data.features import Features
from workbench.common.errors import ConfigError, DataError

KINDS = ("h5", "npz", "npy", "pt", "safetensors")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)


@pytest.fixture
def lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing in memory, and read nothing whole at the first look."""
    monkeypatch.setattr(feature_data, "IN_MEMORY", 0)
    monkeypatch.setattr(feature_files, "SMALL", 0)


def features(rows: int, start: int = 0, width: int = 4, dtype: Any = np.float32) -> np.ndarray:
    return np.arange(start, start + rows * width).reshape(rows, width).astype(dtype)


def make_bags(root: Path, kinds: Sequence[str] = KINDS, bags: int = 20) -> Path:
    """Write bags of 1 to 5 rows of 4 features, coordinates and labels beside them, and their table."""
    lines = ["path,label,group"]
    for n in range(bags):
        rows = 1 + n % 5
        coords, labels = np.stack([np.arange(rows), np.full(rows, n)], axis=1), np.arange(rows) % 2
        name = f"bag{n:02}.{kinds[n % len(kinds)]}"
        write(root / name, features=features(rows, n), coords=coords, patch_labels=labels)
        lines.append(f"{name},{'ab'[n // 2 % 2]},p{n}")
    (root / "bags.csv").write_text("\n".join(lines) + "\n")
    return root


def read(root: Path, **words: Any) -> Features:
    data = Features(4, 0, str(root), **words)
    data.find_files()
    data.setup()
    return data


def refusal(root: Path, **words: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        read(root, **words)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_bags(kind: str, tmp_path: Path) -> None:
    data = read(make_bags(tmp_path / "bags", [kind]))
    assert data.num_features == 4 and data.classes == ["a", "b"]
    part = data.splits["test"]
    batch = data.make_batch(part.take(torch.tensor([2, 0])), training=False)
    for row, bag in zip((2, 0), batch.sets.split(), strict=True):
        number = int(data.file_name("test", row)[3:5])
        assert torch.equal(bag, torch.from_numpy(features(1 + number % 5, number)))
    if kind == "npy":  # which holds one array
        assert batch.positions is None and batch.element_label is None
    else:
        second = int(data.file_name("test", 0)[3:5])
        assert batch.positions is not None and batch.element_label is not None
        last = 1 + second % 5
        assert batch.positions[-last:].tolist() == [[second, x] for x in range(last)]  # (y, x)
        assert batch.element_label[-last:].tolist() == [x % 2 for x in range(last)]
    assert batch.index.tolist() == [2, 0]


@pytest.mark.parametrize("limit", [0, 2**20])
def test_workers_give_the_same_bags(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_bags(tmp_path / "bags")
    alone = read(root)
    monkeypatch.setattr(feature_data, "IN_MEMORY", limit)
    shared = read(root, num_workers=2)
    assert hasattr(shared.splits["train"], "bags") == (limit == 0)
    for one, other in zip(alone.train_dataloader(), shared.train_dataloader(), strict=True):
        assert torch.equal(one.values, other.values) and torch.equal(one.index, other.index)
        assert torch.equal(one.label, other.label)


def test_half_precision_travels_as_it_is_and_is_learned_from_as_float32(tmp_path: Path) -> None:
    make_bags(tmp_path / "bags", ["h5"])
    for n in range(20):
        write(tmp_path / f"bags/bag{n:02}.h5", features=features(1 + n % 5, n, dtype=np.float16))
    data = read(tmp_path / "bags")
    raw = data.splits["train"].take(torch.arange(3))
    assert raw.values.dtype == torch.float16
    assert data.make_batch(raw, training=True).sets.values.dtype == torch.float32


def test_the_layout_of_clam(tmp_path: Path) -> None:
    make_bags(tmp_path / "bags", ["h5"])
    (tmp_path / "clam").mkdir()
    shutil.move(tmp_path / "bags", tmp_path / "clam/h5_files")
    lines = ["case_id,slide_id,label", *(f"p{n // 2},bag{n:02}.svs,{'ab'[n // 2 % 2]}" for n in range(20))]
    (tmp_path / "clam/slides.csv").write_text("\n".join(lines))
    data = read(tmp_path / "clam")
    for one in data.rows.values():
        assert (one[::2] + 1 == one[1::2]).all()  # both slides of a patient
    assert data.file_name("train", 0).startswith("h5_files/bag")


def test_the_layout_of_trident(tmp_path: Path) -> None:
    make_bags(tmp_path / "run/features_uni_v1", ["h5"])
    shutil.move(tmp_path / "run/features_uni_v1/bags.csv", tmp_path / "run/bags.csv")
    assert read(tmp_path / "run").file_name("test", 0).startswith("features_uni_v1/")
    (tmp_path / "run/features_resnet").mkdir()
    assert "holds features_resnet, features_uni_v1; name one of th" in refusal(tmp_path / "run")


def make_torchmil(root: Path) -> Path:
    for n in range(20):
        rows = 1 + n % 5
        write(root / f"features/bag{n:02}.npy", features=features(rows, n))
        write(root / f"labels/bag{n:02}.npy", labels=np.array([n // 2 % 2]))
        write(root / f"patch_labels/bag{n:02}.npy", labels=np.arange(rows)[:, None] % 2)
        write(root / f"coords/bag{n:02}.npy", coords=np.zeros((rows, 2), np.int64))
    return root


def test_the_layout_of_torchmil(tmp_path: Path) -> None:
    root = make_torchmil(tmp_path / "mil")
    data = read(root)
    assert data.classes == ["0", "1"] and data.bags[3].seen["rows"] == 4
    batch = data.make_batch(data.splits["train"].take(torch.arange(5)), training=False)
    assert batch.positions is not None and batch.element_label is not None
    assert batch.positions.shape == (len(batch.element_label), 2)
    lines = ["bag_name,split", *(f"bag{n:02},{'test' if n > 15 else 'train'}" for n in range(20))]
    (root / "splits.csv").write_text("\n".join(lines))
    assert read(root).rows["test"].tolist() == [16, 17, 18, 19]


def test_several_labels_and_numbers(tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags")
    names = [line.split(",")[0] for line in (root / "bags.csv").read_text().splitlines()[1:]]
    lines = ["path,u,v,age", *(f"{name},{n % 2},{n % 3 // 2},{n}.5" for n, name in enumerate(names))]
    (root / "bags.csv").write_text("\n".join(lines))
    several = read(root, labels="several", targets=["u", "v"])
    assert several.classes == ["u", "v"] and several.splits["train"].take(torch.arange(3)).label.shape == (
        3,
        2,
    )
    number = read(root, labels="numbers", targets=["age"])
    assert number.classes == [] and number.targets == ["age"]
    assert number.splits["train"].label.dtype == torch.float32


def test_only_what_changed_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_bags(tmp_path / "bags")
    first = read(root)
    looked: list[str] = []
    original = feature_folder.look
    monkeypatch.setattr(feature_folder, "look", lambda path: looked.append(path.name) or original(path))
    again = read(root)
    assert looked == [] and again.fingerprint() == first.fingerprint()
    write(root / "bag03.pt", features=features(9, 3), coords=np.zeros((9, 2)), patch_labels=np.zeros(9))
    assert read(root).bags[3].seen["rows"] == 9 and looked == ["bag03.pt"]
    assert read(root).fingerprint() != first.fingerprint()


def spoil(root: Path) -> None:
    """Do to bags what happens to bags."""
    write(root / "bag00.h5", features=features(3, width=5))
    whole = (root / "bag01.npz").read_bytes()
    (root / "bag01.npz").write_bytes(whole[: len(whole) // 2])
    write(root / "bag02.npy", features=np.zeros((0, 4), np.float32))
    torch.save({"features": object()}, root / "bag03.pt")
    write(root / "bag04.safetensors", features=features(3), coords=np.zeros((2, 2)))
    broken = features(3)
    broken[2, 1] = np.nan
    write(root / "bag05.h5", features=broken)
    (root / "bag06.npz").write_bytes(b"")
    with h5py.File(root / "bag10.h5", "r+") as file:
        del file["features"]
    np.save(root / "bag12.npy", np.array([["x"]]))
    write(root / "bag07.npy", features=features(3)[0])
    table = (root / "bags.csv").read_text()
    (root / "bags.csv").write_text(table + "bag11.npz,a,p11\nnone.h5,a,p50\n")


def test_everything_wrong_is_named_in_one_line(tmp_path: Path) -> None:
    spoil(make_bags(tmp_path / "bags"))
    for _ in range(2):  # from the cache it is the same
        said = refusal(tmp_path / "bags")
        assert "has mistakes (12): " in said and "\n" not in said
        for mistake in (
            "line 22: bag11.npz is in line 13 too; line 23: there is no file none.h5 below data.root",
            "bag00.h5: its features are 5 wide, those of most 4",
            "bag01.npz: it cannot be read: File is not a zip file",
            "bag02.npy: it has no rows",
            "bag03.pt: it holds more than plain tensors",
            "bag04.safetensors: its coords are [2, 2], not [3, 2]",
            "bag05.h5: nan in row 2, feature 1 (1 of 12 numbers are not finite)",
            "bag06.npz: the file is empty (0 bytes)",
            "bag07.npy: its features are [4], not [rows, width]",
            "bag10.h5: no array is called features",
            "bag12.npy: its features are of type str",
        ):
            assert mistake in said


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_is_refused(kind: str, tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags", [kind])
    write(root / f"bag01.{kind}", features=features(2000))
    os.truncate(root / f"bag01.{kind}", 15_000)
    assert f"bag01.{kind}: it cannot be read: " in refusal(root)


@pytest.mark.usefixtures("lazily")
def test_nan_in_a_large_file_is_found_at_reading(tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags", ["npy"])
    broken = features(2, 1)
    broken[1, 2] = np.inf
    write(root / "bag01.npy", features=broken)
    data = read(root)
    with pytest.raises(DataError, match=r"^bag01.npy: inf in row 1, feature 2 \(1 of 8 numbers"):
        [part.take(torch.arange(len(part.label))) for part in data.splits.values()]


@pytest.mark.usefixtures("lazily")
def test_a_file_that_changes_or_vanishes_is_one_line(tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags", ["npy"])
    data = read(root)
    name = data.file_name("train", 0)
    write(root / name, features=features(40))
    with pytest.raises(DataError, match=rf"^{name}: it has changed: its features were .* now$"):
        data.splits["train"].take(torch.tensor([0]))
    (root / name).unlink()
    with pytest.raises(DataError, match=rf"^{name}: it cannot be read: No such file"):
        data.splits["train"].take(torch.tensor([0]))


def test_a_table_has_to_be_there(tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags")
    (root / "more.csv").write_text("path,label\n")
    assert "say which CSV lists the bags; " in refusal(root) and "bags.csv, more.csv" in refusal(root)
    assert "other.csv cannot be read" in refusal(root, table="other.csv")
    assert read(root, table="bags.csv").fingerprint() == read(root, table=f"{root}/bags.csv").fingerprint()
    assert "there is no folder" in refusal(tmp_path / "nowhere")


def test_a_run_learns_from_bags_and_a_bad_one_leaves_nothing(tmp_path: Path) -> None:
    root = make_bags(tmp_path / "bags")
    words = read_by(["data=features", "model=attention_pool"], QUICK)
    words += [f"data.root={root}", f"outputs={tmp_path}/outputs"]
    metrics = start(*words)
    assert "test/accuracy" in metrics
    (run,) = [path for path in (tmp_path / "outputs/patch_sets").iterdir() if not path.is_symlink()]
    assert "file" in (run / "predictions.csv").read_text().splitlines()[0]
    write(root / "bag00.h5", features=features(3, width=5))
    with pytest.raises(ConfigError, match=r"has mistakes \(1\)"):
        start(*words, "experiment_name=bad")
    assert not (tmp_path / "outputs/bad").exists()

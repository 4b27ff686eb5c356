"""MNIST is read from every layout people keep it in, believed only by its hashes, and kept whole.

The arrays are stand-ins of a few images, checked by their own hashes; the download is one that is refused, or
that hands the stand-ins over. The last test reads the real file, where DATASET names its folder.
"""

import gzip
import hashlib
import os
import struct
import urllib.error
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from patchsets.data import mnist
from patchsets.data.mnist import IDX_FILES, Mnist
from workbench.common.errors import DataError

REAL = Path(os.environ.get("DATASET") or "nowhere").expanduser() / "mnist.npz"
TRAIN, TEST = 36, 10


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mnist.Arrays:
    """Stand-ins for MNIST's four arrays; DATASET is an empty folder, and so is the cache."""
    random = np.random.default_rng(0)
    made = {
        "x_train": random.integers(0, 256, (TRAIN, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(TRAIN) % 10).astype(np.uint8),
        "x_test": random.integers(0, 256, (TEST, 28, 28)).astype(np.uint8),
        "y_test": np.arange(TEST).astype(np.uint8),
    }
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DATASET", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        mnist, "SHA256", {name: hashlib.sha256(part.tobytes()).hexdigest() for name, part in made.items()}
    )
    monkeypatch.setattr(mnist, "TRAIN", TRAIN)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    return made


def refuse(*_: object, **__: object) -> None:
    """Do what fetch_openml does where there is no network: warn of each try, then raise."""
    warnings.warn("A network error occurred. Retrying...", stacklevel=1)
    raise urllib.error.URLError("no network")


def together(arrays: mnist.Arrays) -> mnist.Arrays:
    return {
        "x": np.concatenate([arrays["x_train"], arrays["x_test"]]),
        "y": np.concatenate([arrays["y_train"], arrays["y_test"]]),
    }


def write_idx(folder: Path, arrays: mnist.Arrays, ending: str = "", dots: bool = False) -> None:
    """Write the four files as their description says: magic number, sizes (big-endian), bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in IDX_FILES.items():
        part = arrays[name]
        content = bytes([0, 0, 8, part.ndim]) + struct.pack(f">{part.ndim}I", *part.shape) + part.tobytes()
        file = file.replace("-idx", ".idx") if dots else file
        (folder / f"{file}{ending}").write_bytes(gzip.compress(content) if ending else content)


def read() -> Mnist:
    data = Mnist(4, 0)
    data.prepare_data()
    data.setup()
    return data


def check(data: Mnist, arrays: mnist.Arrays) -> None:
    """See that train and val are the training images, each once, and test the others in order."""
    test = data.splits["test"]
    assert test.label.tolist() == arrays["y_test"].tolist()
    assert all(np.array_equal(data.image("test", row), arrays["x_test"][row]) for row in range(TEST))
    digit = {x.tobytes(): int(y) for x, y in zip(arrays["x_train"], arrays["y_train"], strict=True)}
    found = [
        (data.image(split, row).tobytes(), label)
        for split in ("train", "val")
        for row, label in enumerate(data.splits[split].label.tolist())
    ]
    assert len(found) == TRAIN and dict(found) == digit
    assert len(data.splits["val"].label) == TRAIN // 12


def test_npz_in_keras_layout(tmp_path: Path, arrays: mnist.Arrays) -> None:
    np.savez(tmp_path / "data" / "mnist.npz", **arrays)  # type: ignore[arg-type]
    check(read(), arrays)


def test_npz_of_all_images_in_one_array(tmp_path: Path, arrays: mnist.Arrays) -> None:
    np.savez_compressed(tmp_path / "data" / "mnist.npz", **together(arrays))  # type: ignore[arg-type]
    check(read(), arrays)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dots", [False, True])
@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
def test_idx_files(tmp_path: Path, arrays: mnist.Arrays, ending: str, dots: bool, below: str) -> None:
    write_idx(tmp_path / "data" / below, arrays, ending, dots)
    check(read(), arrays)


def refusal() -> str:
    with pytest.raises(DataError) as caught:
        read()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_wrong_arrays_are_refused_by_name(tmp_path: Path, arrays: mnist.Arrays) -> None:
    path = tmp_path / "data" / "mnist.npz"
    np.savez(path, **(arrays | {"y_test": arrays["y_test"][::-1]}))  # type: ignore[arg-type]
    assert refusal() == f"{path}: y_test is not MNIST's (its SHA-256 differs); replace or remove it"
    np.savez(path, images=arrays["x_train"])
    assert f"{path} does not hold" in refusal()


@pytest.mark.parametrize("damage", ["cut", "overwritten", "emptied", "text"])
def test_damaged_npz_is_refused(tmp_path: Path, arrays: mnist.Arrays, damage: str) -> None:
    path = tmp_path / "data" / "mnist.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    content = path.read_bytes()
    middle = len(content) // 3
    damaged = {
        "cut": content[:middle],
        "overwritten": content[:middle] + bytes(99) + content[middle + 99 :],
        "emptied": b"",
        "text": b"not an archive",
    }[damage]
    path.write_bytes(damaged)
    assert refusal().startswith(f"{path} does not hold")


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("damage", ["cut", "overwritten", "emptied"])
def test_damaged_idx_is_refused(tmp_path: Path, arrays: mnist.Arrays, ending: str, damage: str) -> None:
    write_idx(tmp_path / "data", arrays, ending)
    path = tmp_path / "data" / f"train-images-idx3-ubyte{ending}"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:500], "overwritten": content[:99] + bytes(99), "emptied": b""}[damage])
    assert "train-images-idx3-ubyte" in refusal()


def test_without_data_and_network_one_line_says_what_to_put_where(tmp_path: Path, arrays: object) -> None:
    line = refusal()
    assert "cannot be downloaded (URLError)" in line
    assert all(word in line for word in ("mnist.npz", "IDX", str(tmp_path / "data"), "data=digits"))


def hand_over(arrays: mnist.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the download give what openml.org gives: rows of 784 numbers, digits as words."""
    whole = together(arrays)
    given = whole["x"].reshape(-1, 784).astype(np.float64), whole["y"].astype(str).astype(object)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: given)


def test_a_download_is_kept(tmp_path: Path, arrays: mnist.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over(arrays, monkeypatch)
    check(read(), arrays)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    check(read(), arrays)
    assert [path.name for path in (tmp_path / "cache" / "patchsets").iterdir()] == ["mnist.npz"]


def test_a_download_cut_short_leaves_no_cache(
    tmp_path: Path, arrays: mnist.Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(path: Path, **_: object) -> None:
        path.write_bytes(b"PK half of it")
        raise OSError(28, "No space left on device")

    hand_over(arrays, monkeypatch)
    monkeypatch.setattr(np, "savez_compressed", fill_the_disk)
    assert "No space left on device" in refusal()
    assert list((tmp_path / "cache" / "patchsets").iterdir()) == []


def test_a_wrong_download_is_not_kept(
    tmp_path: Path, arrays: mnist.Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(arrays | {"x_test": arrays["x_test"] // 2}, monkeypatch)
    assert "openml.org: x_test is not MNIST's" in refusal()
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(not REAL.is_file(), reason="DATASET names no folder with mnist.npz")
def test_the_real_file() -> None:
    data = read()
    assert [len(data.splits[split].label) for split in ("train", "val", "test")] == [55_000, 5_000, 10_000]
    assert data.splits["test"].label[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # as every copy begins
    assert data.image("train", 0).shape == (28, 28)

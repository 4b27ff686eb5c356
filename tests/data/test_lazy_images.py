"""Images that are read when they are taken are those that would lie in memory, at any size."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import start
from PIL import Image
from whole_command import the_run

from patchsets.data import first_look, lazy_images
from patchsets.data.folder import Folder
from workbench.common.errors import ConfigError, DataError
from workbench.portable.model import load_model
from workbench.portable.pixels import decode, read_image


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/patchsets"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photographs of two classes, soft and of different sizes; one is grey, one lies on its side."""
    random = np.random.default_rng(0)
    for number in range(20):
        soft = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        image = Image.fromarray(soft).resize((120 + number, 90), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 3 else 1
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image.convert("L") if number == 8 else image).save(path, quality=95, exif=exif)
    return tmp_path / "photos"


def folder(root: Path, **words: Any) -> Folder:
    data = Folder(4, 0, str(root), **{"patch_size": 16, "stride": 16} | words)
    data.setup()
    return data


def batches(data: Folder) -> list[torch.Tensor]:
    data.epoch = 1
    loader: Any = data.train_dataloader()
    loader.sampler.set_epoch(1)
    return [data.make_batch(raw, training=True).sets.values for raw in loader]  # type: ignore[union-attr]


@pytest.mark.parametrize("resize", [None, 40, [30, 50]])
def test_every_cache_gives_the_same_batches_splits_and_fingerprint(root: Path, resize: Any) -> None:
    plain = folder(root, resize=resize, patches=3)  # as version 0.1 has it
    expected = batches(plain)
    prints = []
    for cache, workers in (("none", 0), ("none", 2), ("memory", 0), ("disk", 0), ("disk", 2)):
        data = folder(root, resize=resize, patches=3, cache=cache, num_workers=workers)
        assert data.names == plain.names
        assert all(torch.equal(a, b) for a, b in zip(expected, batches(data), strict=True))
        for split in data.splits:
            np.testing.assert_array_equal(data.image(split, 1), plain.image(split, 1))
        prints.append(data.fingerprint())
    assert all(one == prints[0] for one in prints)
    assert prints[0]["train"]["counts"] == plain.fingerprint()["train"]["counts"]
    if resize is not None:
        assert prints[0]["resize"] == resize


@pytest.mark.parametrize(
    ("name", "resize", "size"),
    [
        ("a/0.jpg", 20, (20, 27)),
        ("a/0.jpg", [20, 30], (20, 30)),
        ("a/0.jpg", 100, (100, 133)),
        ("b/3.jpg", 20, (27, 20)),  # it stands upright: 123 high, 90 wide
        ("b/3.jpg", [20, 30], (20, 30)),
    ],
)
def test_photographs_are_decoded_at_a_part_of_their_size(
    root: Path, name: str, resize: Any, size: tuple[int, int]
) -> None:
    small, whole = decode(root / name, resize=resize), Image.fromarray(decode(root / name))
    expected = np.asarray(whole.resize(size[::-1], Image.Resampling.BILINEAR))
    assert small.shape == (*size, 3)
    assert np.abs(small.astype(float) - expected).mean() < 3


def test_the_middle_is_cropped_for_networks_of_whole_images(root: Path) -> None:
    data = folder(root, patch_size=None, resize=32, crop=[32, 24], cache="none")
    batch = data.make_batch(next(iter(data.test_dataloader())), training=False)
    assert batch.input.shape[1:] == (3, 32, 24)
    name = data.file_name("test", 0)
    whole = decode(root / name, resize=32)
    left = (whole.shape[1] - 24) // 2
    np.testing.assert_array_equal(data.image("test", 0), whole[:, left : left + 24])
    with pytest.raises(
        DataError, match=r"20 of 20 images .*\n  a/0.jpg: 43x32 pixels are fewer than the 99x32"
    ):
        folder(root, patch_size=None, resize=32, crop=[32, 99])


def test_a_second_look_decodes_what_is_new_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = folder(root, cache="none").fingerprint()
    decoded: list[str] = []
    whole = first_look.read_pixels

    def recorded(path: Path) -> np.ndarray:
        decoded.append(path.name)
        return whole(path)

    monkeypatch.setattr(first_look, "read_pixels", recorded)
    assert folder(root, cache="none").fingerprint() == first and decoded == []
    Image.new("RGB", (99, 98), "red").save(root / "b/new.png")
    os.utime(root / "a/2.jpg", (1, 1))
    assert folder(root, cache="none").fingerprint() != first
    assert sorted(decoded) == ["2.jpg", "new.png"]


def test_a_look_that_was_stopped_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, decoded = first_look.read_pixels, []

    def stopped(path: Path) -> np.ndarray:
        decoded.append(path)
        if len(decoded) == 11:
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(first_look, "read_pixels", stopped)
    monkeypatch.setattr(first_look, "AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        folder(root, cache="none")
    decoded.clear()
    monkeypatch.setattr(first_look, "read_pixels", lambda path: decoded.append(path) or whole(path))
    folder(root, cache="none")
    assert len(decoded) == 10


def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "file"))
    assert len(folder(root, cache="none").splits["train"].label) == 12
    assert "the first look at" in caplog.text and "is not kept" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_vanish_or_change_are_one_line(root: Path, workers: int) -> None:
    data = folder(root, cache="none", num_workers=workers)
    first, second, third = data.names["train"][:3]
    (root / first).unlink()
    Image.new("RGB", (123, 98), "red").save(root / second)
    content = (root / third).read_bytes()
    (root / third).unlink()
    (root / third).write_bytes(content)  # the same once more
    said = []
    for row, name in enumerate((first, second, third)):
        try:
            data.splits["train"].take(torch.tensor([row]))
        except DataError as error:
            said.append((name, str(error)))
    assert [name for name, _ in said] == [first, second]
    assert "No such file" in said[0][1] and "another image" in said[1][1]
    assert all(f"data.root: {name}: " in line and "\n" not in line for name, line in said)
    with pytest.raises(DataError, match=r"data.root: .*put back what was there when the run began"):
        list(data.train_dataloader())


def test_a_full_disk_is_told_before_anything_is_decoded(
    root: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    monkeypatch.setattr(lazy_images, "read_pixels", None)
    with pytest.raises(DataError, match=r"data.cache=disk: the images take .* free; lower data.resize"):
        folder(root, cache="disk")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12))
    monkeypatch.setenv("PATCHSETS_CACHE_GB", "0.0001")
    with pytest.raises(DataError, match=r"may hold 0.0 GB; raise PATCHSETS_CACHE_GB"):
        folder(root, cache="disk")
    assert not list((cache_folder / "images").glob("*/pixels")) + list(
        (cache_folder / "images").glob("*.new")
    )


def test_a_damaged_image_is_refused_before_there_is_a_run(root: Path, tmp_path: Path) -> None:
    (root / "a/0.jpg").write_bytes((root / "a/2.jpg").read_bytes()[:500])
    shutil.copyfile(root / "a/4.jpg", root / "a/twin.jpg")
    with pytest.raises(ConfigError, match=r"1 of 21 images .*\n  a/0.jpg"):
        start("data=folder", f"data.root={root}", f"outputs={tmp_path / 'outputs'}")
    (root / "a/0.jpg").unlink()
    (root / "a/twin.jpg").rename(root / "b/twin.jpg")
    with pytest.raises(
        ConfigError, match=r"images with two labels \(1\).*: b/twin.jpg: the same image as a/4"
    ):
        start("data=folder", f"data.root={root}", f"outputs={tmp_path / 'outputs'}")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_the_model_of_a_run_reads_images_as_the_run_did(root: Path, tmp_path: Path, cache: str) -> None:
    small = ["hparams.width=4", "hparams.depth=2", "hparams.max_epochs=1", "loggers=[]"]
    sizes = ["model=cnn", "data.patch_size=null", "data.resize=40", "data.crop=32", f"data.cache={cache}"]
    start("data=folder", f"data.root={root}", *sizes, *small, f"outputs={tmp_path / 'outputs'}")
    run = the_run(tmp_path / "outputs")
    model = load_model(run / "model")
    assert model.preprocessing == {"size": [32, 32], "fit": "stretch", "resize": 40, "crop": [32, 32]}
    header, *lines = (run / "predictions.csv").read_text().splitlines()
    assert json.loads((run / "data.json").read_text())["crop"] == [32, 32]
    for line in lines:
        row = dict(zip(header.split(","), line.split(","), strict=True))
        image = read_image(root / row["file"], model.preprocessing)
        answered = model(np.stack([image]))["probability"][0]
        said = [float(row[name]) for name in header.split(",")[-2:]]
        np.testing.assert_allclose(answered, said, atol=1e-5)

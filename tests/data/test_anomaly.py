"""Folders of good and anomalous images are read right, or refused with every bad file named."""

import csv
import hashlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import make_anomaly_folder
from PIL import Image

from patchsets.anomaly.trivial import best_trivial
from patchsets.data.anomaly import AnomalyImages
from patchsets.data.anomaly_demo import CATEGORIES, TEST_KINDS, AnomalyDemo, Counts, make_demo
from patchsets.data.layout import as_mask
from workbench.common.errors import ConfigError, DataError


def read(root: Path, **arguments: object) -> AnomalyImages:
    data = AnomalyImages(str(root), 4, 0, **{"image_size": 16, **arguments})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def kinds(data: AnomalyImages, split: str) -> list[str]:
    return [data.kind(split, row) for row in range(len(data.splits[split].label))]


def test_a_folder_in_the_layout_of_mvtec_is_read(tmp_path: Path) -> None:
    data = read(make_anomaly_folder(tmp_path))
    assert data.image_shape == (1, 16, 16)
    assert kinds(data, "test") == ["good"] * 4 + ["hole"] * 3
    assert set(kinds(data, "train") + kinds(data, "val")) == {"good"}
    assert data.splits["test"].label.tolist() == [0] * 4 + [1] * 3
    assert data.file_name("test", 5) == "test/hole/001.png"
    assert not data.mask("test", 0).any()
    mask, image = data.mask("test", 4), data.image("test", 4)
    assert mask.shape == image.shape == (16, 16) and image.dtype == np.uint8
    assert image[mask].mean() < 40 < 100 < image[~mask].mean()
    assert data.preprocessing() == {"size": [16, 16], "fit": "stretch", "mode": "L"}


def test_batches_are_tensors_from_0_to_1_with_their_rows(tmp_path: Path) -> None:
    data = read(make_anomaly_folder(tmp_path))
    batches = [data.make_batch(raw, training=False) for raw in data.test_dataloader()]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(7))
    first = batches[0].input
    assert first.shape == (4, 1, 16, 16)
    np.testing.assert_array_equal((first[2, 0] * 255).round().numpy(), data.image("test", 2))


def test_colour_makes_all_images_rgb(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    Image.new("RGB", (24, 20), (200, 10, 10)).save(tmp_path / "train/good/red.png")
    data = read(tmp_path)
    assert data.image_shape == (3, 16, 16) and data.image("test", 0).shape == (16, 16, 3)


def test_groups_of_a_manifest_are_held_out_whole(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    lines = [f"train/good/{number:03}.png,photo {number // 2}" for number in range(10)]
    (tmp_path / "manifest.csv").write_text("path,source\n" + "\n".join(lines))
    data = read(tmp_path, val_fraction=0.4)
    groups = {
        split: {int(Path(data.file_name(split, row)).stem) // 2 for row in range(len(kinds(data, split)))}
        for split in ("train", "val")
    }
    assert len(groups["val"]) == 2 and not groups["train"] & groups["val"]


def test_what_is_held_out_depends_on_its_own_seed_alone(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    prints = [AnomalyImages(str(tmp_path), 4, seed, 16, split_seed=split) for seed, split in ((0, 0), (1, 0))]
    other = AnomalyImages(str(tmp_path), 4, 0, 16, split_seed=1)
    for data in (*prints, other):
        data.setup()
    assert prints[0].fingerprint() == prints[1].fingerprint() != other.fingerprint()


def test_own_validation_images_are_taken_as_they_are(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    (tmp_path / "val/hole").rename(tmp_path / "val/dent")
    data = read(tmp_path)
    assert kinds(data, "val") == ["good"] * 4 + ["dent"] * 3 and len(kinds(data, "train")) == 10
    assert data.mask("val", 4) is None


def test_visa_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path / "mvtec")
    images = tmp_path / "candle/Data/Images"
    shutil.copytree(tmp_path / "mvtec/train/good", images / "Normal")
    shutil.copytree(tmp_path / "mvtec/test/hole", images / "Anomaly")
    (tmp_path / "candle/Data/Masks/Anomaly").mkdir(parents=True)
    mask = np.zeros((20, 24), np.uint8)
    mask[5:10, 5:10] = 3  # VisA numbers its defects
    Image.fromarray(mask).save(tmp_path / "candle/Data/Masks/Anomaly/000.png")
    data = read(tmp_path / "candle")
    assert kinds(data, "test") == ["good", "anomaly", "anomaly", "anomaly"]
    assert 0 < data.mask("test", 1).mean() < 0.2 and data.mask("test", 2) is None
    (tmp_path / "split_csv").mkdir()
    rows = [f"candle,{'test' if number < 4 else 'train'},normal,x/{number:03}.png," for number in range(10)]
    (tmp_path / "split_csv/1cls.csv").write_text("object,split,label,image,mask\n" + "\n".join(rows))
    assert kinds(read(tmp_path / "candle"), "test").count("good") == 4


def test_a_test_image_that_was_trained_on_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_anomaly_folder(tmp_path)
    shutil.copy(tmp_path / "train/good/003.png", tmp_path / "test/good/again.png")
    with caplog.at_level(logging.WARNING):
        read(tmp_path)
    assert "test/good/again.png = train/good/003.png" in caplog.text


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.root: say which folder"):
        AnomalyImages(None, 4, 0).setup()
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "nowhere")
    make_anomaly_folder(tmp_path / "set")
    with pytest.raises(DataError, match="name one of the data sets in it: set"):
        read(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.fit"):
        read(tmp_path / "set", fit="crop")
    with pytest.raises(ConfigError, match="did you mean brick"):
        AnomalyDemo("brik", 4, 0)
    (tmp_path / "set/test/good/001.png").write_bytes(b"no image")
    (tmp_path / "set/train/good/002.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 17 images(.|\n)*train/good/002(.|\n)*test/good/001"):
        read(tmp_path / "set")


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    Image.new("L", (8, 8), 255).save(tmp_path / "ground_truth/hole/001_mask.png")
    with pytest.raises(DataError, match=r"001_mask\.png 8x8 pixels, its image 24x20"):
        read(tmp_path)


def test_a_small_defect_keeps_its_place_and_an_empty_mask_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_anomaly_folder(tmp_path)
    mask = np.zeros((20, 24), np.uint8)
    Image.fromarray(mask).save(tmp_path / "ground_truth/hole/000_mask.png")
    mask[10, 12] = 255  # a tenth of a pixel at 6x6
    Image.fromarray(mask).save(tmp_path / "ground_truth/hole/001_mask.png")
    with caplog.at_level(logging.WARNING):
        data = read(tmp_path, image_size=6)
    first = kinds(data, "test").index("hole")
    assert [int(data.mask("test", first + n).sum()) for n in range(2)] == [0, 1]
    assert "1 masks are empty" in caplog.text and "hole/000_mask.png" in caplog.text


def test_masks_of_any_convention_are_understood() -> None:
    soft = np.array([[0, 100, 200, 255]], np.uint8)
    assert as_mask(soft).tolist() == [[False, False, True, True]]
    assert as_mask(soft // 100).tolist() == [[False, True, True, True]]
    assert as_mask(np.dstack([soft, soft * 0, soft * 0])).tolist() == [[False, False, True, True]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def demo(category: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> AnomalyDemo:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    data = AnomalyDemo(category, 8, 0, train=4, val=3, per_kind=10)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_trivial_statistic_solves_the_demonstration(
    category: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = demo(category, cache, monkeypatch)
    test = data.splits["test"]
    images = np.stack([data.image("test", row) for row in range(len(test.label))])
    assert best_trivial(images, test.label.numpy() == 1).auroc < 0.65  # 60 + 60 images: 0.05 above the whole


def test_twins_differ_by_the_defect_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = demo("brick", cache, monkeypatch)
    names = {data.file_name("test", row): row for row in range(len(kinds(data, "test")))}
    assert sorted(set(kinds(data, "test"))) == sorted(["good", *TEST_KINDS])
    with (data.folder() / "manifest.csv").open() as file:
        pairs = [(row["path"], row["twin"]) for row in csv.DictReader(file) if row["twin"]]
    assert len(pairs) == 60
    for path, twin in pairs:
        row = names[path]
        change = np.abs(data.image("test", row).astype(int) - data.image("test", names[twin]))
        mask = data.mask("test", row)
        assert 0 < mask.mean() < 0.4
        assert change[mask].mean() > 3 > change[~mask].mean(), path


def test_another_count_changes_no_other_image(tmp_path: Path) -> None:
    for name, counts in {"few": Counts(2, 1, 1), "more": Counts(3, 2, 2)}.items():
        (tmp_path / name).mkdir()
        make_demo(tmp_path / name, "grass", counts, seed=0)
    few, more = (
        {
            path.relative_to(tmp_path / name): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (tmp_path / name).rglob("*.png")
        }
        for name in ("few", "more")
    )
    assert few.items() < more.items()


def test_regions_of_the_splits_are_apart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (demo("brick", cache, monkeypatch).folder() / "manifest.csv").open() as file:
        boxes = {(row["split"], *map(int, row["box"].split())) for row in csv.DictReader(file)}
    for split, left, _, right, _ in boxes:
        for other, other_left, _, other_right, _ in boxes:
            assert split == other or right <= other_left + 1 or other_right <= left + 1


def test_one_source_leaves_nothing_to_validate_with(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path)
    lines = [f"train/good/{number:03}.png,one photo" for number in range(10)]
    (tmp_path / "manifest.csv").write_text("path,source\n" + "\n".join(lines))
    with pytest.raises(DataError, match="10 good images of 1 source leave none"):
        read(tmp_path)
    (tmp_path / "manifest.csv").write_text("name\nx")
    with pytest.raises(DataError, match=r"manifest\.csv: no column"):
        read(tmp_path)

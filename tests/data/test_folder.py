"""A folder of any images is read right, or refused with every bad file named before training starts."""

import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsets.data.folder import Folder
from workbench.common.errors import ConfigError, DataError

RAMP = np.linspace(0, 255, 20 * 24).astype(np.uint8).reshape(20, 24)
COLOUR = np.stack([RAMP, RAMP.T.reshape(20, 24), 255 - RAMP], axis=2)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def folder(root: Path | None, **arguments: object) -> Folder:
    return Folder(4, 0, root=None if root is None else str(root), patch_size=8, stride=4, **arguments)  # type: ignore[arg-type]


def fill(root: Path, classes: tuple[str, ...] = ("a", "b"), each: int = 10, seed: int = 0) -> None:
    """Write different random grey images of different sizes."""
    random = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = random.integers(0, 256, random.integers(8, 20, 2)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def images_by_class(root: Path) -> dict[str, list[np.ndarray]]:
    data = folder(root)
    data.setup()
    found: dict[str, list[np.ndarray]] = {name: [] for name in data.classes}
    for split, part in data.splits.items():
        for row, label in enumerate(part.label.tolist()):
            found[data.classes[label]].append(data.image(split, row))
    return found


def named(root: Path, name: str) -> np.ndarray:
    """Return a file as it is read, found by its name."""
    data = folder(root)
    data.setup()
    found = [
        data.image(split, row)
        for split, part in data.splits.items()
        for row in range(len(part.label))
        if data.file_name(split, row) == name
    ]
    assert len(found) == 1
    return found[0]


def read_one(root: Path, image: Image.Image, name: str = "image.png", **options: object) -> np.ndarray:
    """Save an image among grey ones; return how it is read, whatever Pillow warns of."""
    fill(root, ("others", "this"))
    image.save(root / "this" / name, **options)  # type: ignore[arg-type]
    return named(root, f"this/{name}")


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(RAMP)), RAMP)


def test_grey_saved_as_colour_is_grey(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(RAMP).convert("RGB")), RAMP)


def test_one_coloured_image_makes_all_rgb(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(COLOUR)), COLOUR)
    others = images_by_class(tmp_path)["others"]
    assert all((image == image[..., :1]).all() and image.shape[2] == 3 for image in others)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    alpha = np.where(np.arange(24) < 12, 0, 255).astype(np.uint8) * np.ones((20, 1), np.uint8)
    read = read_one(tmp_path, Image.fromarray(np.dstack([COLOUR, alpha])))
    assert (read[:, :12] == 255).all()
    np.testing.assert_array_equal(read[:, 12:], COLOUR[:, 12:])


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (20, 12), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 5, 12))
    read = read_one(tmp_path, image, transparency=0)
    assert (read[:, :5] == 255).all() and (read[:, 5:] == [200, 100, 50]).all()


def test_palette_of_greys_is_grey(tmp_path: Path) -> None:
    image = Image.new("P", (20, 12), 1)
    image.putpalette([10, 10, 10, 200, 200, 200])
    assert (read_one(tmp_path, image) == np.full((12, 20), 200)).all()


def test_grey_with_transparency_is_grey_on_white(tmp_path: Path) -> None:
    opaque = Image.fromarray(np.full((20, 24), 255, np.uint8))
    opaque.paste(0, (0, 0, 24, 10))
    opaque.paste(51, (0, 10, 24, 12))  # a fifth
    read = read_one(tmp_path, Image.merge("LA", [Image.fromarray(RAMP), opaque]))
    assert read.ndim == 2 and (read[:10] == 255).all()
    np.testing.assert_allclose(read[10:12], 255 - (255 - RAMP[10:12].astype(float)) / 5, atol=1)
    np.testing.assert_array_equal(read[12:], RAMP[12:])


def test_grey_with_a_transparent_level(tmp_path: Path) -> None:
    read = read_one(tmp_path, Image.fromarray(RAMP), transparency=100)
    np.testing.assert_array_equal(read, np.where(RAMP == 100, 255, RAMP))


def test_palette_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (20, 12), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 5, 12))
    read = read_one(tmp_path, image)
    assert (read[:, :5] == [10, 20, 30]).all() and (read[:, 5:] == [200, 100, 50]).all()


def test_palette_with_half_transparent_colours(tmp_path: Path) -> None:
    image = Image.new("P", (20, 12), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    read = read_one(tmp_path, image, transparency=bytes([0, 51]))
    np.testing.assert_allclose(read[0, 0], [244, 224, 214], atol=1)  # a fifth of the colour on white


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    others = [Image.fromarray(255 - RAMP), Image.fromarray(RAMP // 2)]
    read = read_one(tmp_path, Image.fromarray(RAMP), "moving.gif", save_all=True, append_images=others)
    np.testing.assert_array_equal(read, RAMP)


@pytest.mark.parametrize("name", ["wide.png", "wide.tif", "wide.pgm"])
def test_16_bits_are_scaled_to_8(tmp_path: Path, name: str) -> None:
    wide = RAMP.astype(np.uint16) * 257  # 65535 = 255 * 257
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(wide), name), RAMP)


def test_16_bits_are_rounded(tmp_path: Path) -> None:
    wide = np.full((20, 24), 10 * 257 + 129, np.uint16)  # nearer to 11 than to 10
    assert (read_one(tmp_path, Image.fromarray(wide)) == 11).all()


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(RAMP > 99)), np.where(RAMP > 99, 255, 0))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (24, 20), (0, 255, 255, 0))  # full magenta and yellow ink are red
    assert (read_one(tmp_path, image, "ink.tif") == [255, 0, 0]).all()


def test_cmyk_jpeg(tmp_path: Path) -> None:
    image = Image.new("CMYK", (24, 20), (0, 255, 255, 0))
    read = read_one(tmp_path, image, "ink.jpg", quality=100)
    np.testing.assert_allclose(read, np.full((20, 24, 3), [255, 0, 0]), atol=3)  # JPEG loses a little


def test_16_bits_of_the_other_byte_order(tmp_path: Path) -> None:
    wide = (RAMP.astype(np.uint16) * 257).astype(">u2")
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(wide), "wide.tif"), RAMP)


def test_rotated_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    half = np.zeros((20, 24), np.uint8)
    half[:10] = 255
    read = read_one(tmp_path, Image.fromarray(half), "photo.JPG", exif=exif, quality=100)
    np.testing.assert_allclose(read, 255 - half, atol=3)


def test_damaged_metadata_do_not_matter(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0"  # says 65,535 entries, holds less than one
    read = read_one(tmp_path, Image.new("L", (24, 20), 77), "photo.jpg", exif=exif)
    assert (read == 77).all()
    assert not recwarn.list


def test_images_too_large_to_be_meant_are_named_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    Image.fromarray(RAMP).save(tmp_path / "a" / "large.png")
    monkeypatch.setenv("PATCHSETS_MEGAPIXELS", "0.0004")
    limit = r"a/large.png: .*x.* pixels are more than 0.0004 million; PATCHSETS_MEGAPIXELS raises the limit"
    with pytest.raises(DataError, match=limit):
        folder(tmp_path).setup()
    monkeypatch.setenv("PATCHSETS_MEGAPIXELS", "0.001")
    folder(tmp_path).setup()


def test_no_image_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow asks Ghostscript to draw an EPS, whatever its file is called."""
    fill(tmp_path / "images")
    (tmp_path / "images/a/innocent.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n"
    )
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/it_ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DataError, match=r"a/innocent.png: it is no image, or none of PNG"):
        folder(tmp_path / "images").setup()
    assert not (tmp_path / "it_ran").exists()


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned by 90 degrees clockwise
    read = read_one(tmp_path, Image.fromarray(RAMP), exif=exif)
    np.testing.assert_array_equal(read, np.rot90(RAMP, -1))


@pytest.mark.parametrize("name", ["日本語.png", "with space.png", "UPPER.PNG", "a=b,[c].jpeg.png"])
def test_odd_names_are_read(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read_one(tmp_path, Image.fromarray(RAMP), name), RAMP)


def test_odd_class_names_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, ("日本語", "two words"))
    assert list(images_by_class(tmp_path)) == ["two words", "日本語"]


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    fill(tmp_path)
    whole = (tmp_path / "a" / "0.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.uint8)
    (tmp_path / "a" / "empty.png").touch()
    (tmp_path / "a" / "text.jpg").write_text("not an image")
    (tmp_path / "b" / "日本語.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(noise).save(tmp_path / "b" / "cut.jpg")
    jpeg = (tmp_path / "b" / "cut.jpg").read_bytes()
    (tmp_path / "b" / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    Image.new("L", (7, 30)).save(tmp_path / "b" / "tiny.png")
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "b" / "float.tif")
    Image.fromarray(np.full((9, 9), 70000, np.int32)).save(tmp_path / "b" / "deep.tif")
    with pytest.raises(DataError) as caught:
        folder(tmp_path).setup()
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("7 of 27 images")
    bad = {line.strip().split(":")[0]: line for line in lines}
    assert sorted(bad) == [
        "a/empty.png",
        "a/text.jpg",
        "b/cut.jpg",
        "b/deep.tif",
        "b/float.tif",
        "b/tiny.png",
        "b/日本語.png",
    ]
    assert "it is no image" in bad["a/text.jpg"]
    assert "0 bytes" in bad["a/empty.png"] and "7x30" in bad["b/tiny.png"] and "16 bits" in bad["b/deep.tif"]


def test_what_is_no_image_is_ignored_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "a" / "notes.md").write_text("about")
    (tmp_path / "a" / "._0.png").write_text("what macOS leaves")
    (tmp_path / ".hidden").mkdir()
    with caplog.at_level(logging.INFO, logger="patchsets.data.class_folders"):
        assert {name: len(images) for name, images in images_by_class(tmp_path).items()} == {"a": 10, "b": 10}
    assert "ignored 2 files" in caplog.text and "README.txt, a/notes.md" in caplog.text


def test_images_in_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "a" / "more").mkdir()
    Image.fromarray(RAMP).save(tmp_path / "a" / "more" / "0.png")
    assert len(images_by_class(tmp_path)["a"]) == 11


def refusal(root: Path | None) -> str:
    with pytest.raises((ConfigError, DataError)) as caught:
        folder(root).setup()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_missing_things_get_one_line(tmp_path: Path) -> None:
    assert "DATASET" in refusal(None)
    with pytest.raises(ConfigError, match="DATASET"):
        Folder(4, 0, root="").setup()  # DATASET= is set, to nothing
    assert "there is no folder" in refusal(tmp_path / "nowhere")
    assert "0 class folders" in refusal(tmp_path)
    fill(tmp_path, ("only",))
    assert "there is no folder" in refusal(tmp_path / "only" / "0.png")
    assert "1 class folders (only)" in refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no image in empty" in refusal(tmp_path)


def test_too_few_images_for_three_splits(tmp_path: Path) -> None:
    fill(tmp_path, each=3)
    folder(tmp_path).setup()
    (tmp_path / "b" / "0.png").write_bytes((tmp_path / "b" / "1.png").read_bytes())
    assert "too few different examples of b (2) to be everywhere: " in refusal(tmp_path)


def test_equal_images_under_other_names_land_in_one_split(tmp_path: Path) -> None:
    fill(tmp_path, each=30)
    for number in range(30):
        content = (tmp_path / "a" / f"{number}.png").read_bytes()
        (tmp_path / "a" / f"copy of {number}.png").write_bytes(content)
    data = folder(tmp_path)
    data.setup()
    held = {
        split: {data.image(split, row).tobytes() for row in range(len(part.label))}
        for split, part in data.splits.items()
    }
    assert sum(len(part.label) for part in data.splits.values()) == 90
    assert sum(map(len, held.values())) == 60
    assert (
        not held["train"] & held["val"]
        and not held["train"] & held["test"]
        and not held["val"] & held["test"]
    )


def test_images_in_two_classes_are_all_named(tmp_path: Path) -> None:
    fill(tmp_path)
    for number in (2, 5):
        content = (tmp_path / "a" / f"{number}.png").read_bytes()
        (tmp_path / "b" / f"copy of {number}.png").write_bytes(content)
    with pytest.raises(DataError) as caught:
        folder(tmp_path).setup()
    twins = "; ".join(f"b/copy of {number}.png: the same image as a/{number}.png" for number in (2, 5))
    assert str(caught.value).endswith(f"images with two labels (2), keep one of each: {twins}")


def test_the_split_does_not_depend_on_names_or_seed(tmp_path: Path) -> None:
    fill(tmp_path / "one")
    for name in ("a", "b"):
        (tmp_path / "other" / name).mkdir(parents=True)
        for path in (tmp_path / "one" / name).iterdir():
            (tmp_path / "other" / name / f"x{9 - int(path.stem)}.PNG").write_bytes(path.read_bytes())
    held = []
    for seed, root in ((0, "one"), (1, "other")):
        data = Folder(4, seed, root=str(tmp_path / root), patch_size=8)
        data.setup()
        held.append(
            [{data.image(s, row).tobytes() for row in range(len(data.splits[s].label))} for s in data.splits]
        )
    assert held[0] == held[1]


def test_one_coloured_image_decides_for_all_splits(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.fromarray(COLOUR).save(tmp_path / "a" / "colour.png")
    data = folder(tmp_path)
    data.setup()
    assert {part.images.channels for part in data.splits.values()} == {3}


def test_every_class_is_in_every_split(tmp_path: Path) -> None:
    fill(tmp_path, ("a", "b", "c"), each=7)
    data = folder(tmp_path)
    data.setup()
    assert all(part.label.unique().tolist() == [0, 1, 2] for part in data.splits.values())


def test_images_of_different_sizes_are_cut_in_one_batch(tmp_path: Path) -> None:
    fill(tmp_path)
    data = folder(tmp_path)
    data.setup()
    for raw in data.test_dataloader():
        batch = data.make_batch(raw, training=False)
        assert batch.positions is not None
        for b, (values, positions) in enumerate(
            zip(batch.sets.split(), batch.positions.split(batch.sets.sizes), strict=True)
        ):
            image = data.image("test", int(batch.index[b]))
            height, width = image.shape[:2]
            assert len(values) == ((height - 8) // 4 + 1) * ((width - 8) // 4 + 1)
            for patch, (y, x) in zip(values, positions.tolist(), strict=True):
                expected = image[y : y + 8, x : x + 8].ravel() / 255
                np.testing.assert_allclose(patch[:64], expected, rtol=1e-6)


def by_split(root: Path, **arguments: object) -> dict[str, list[str]]:
    data = folder(root, **arguments)
    data.setup()
    return {split: [Path(name).parts[0] for name in names] for split, names in data.names.items()}


def test_folders_of_splits_are_the_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed, (name, each) in enumerate({"train": 6, "Valid": 3, "test": 2}.items()):
        fill(tmp_path / name, ("cat", "dog"), each, seed)
    data = folder(tmp_path)
    data.setup()
    assert data.classes == ["cat", "dog"]
    assert {split: len(names) for split, names in data.names.items()} == {"train": 12, "val": 6, "test": 4}
    assert by_split(tmp_path) == {"train": ["train"] * 12, "val": ["Valid"] * 6, "test": ["test"] * 4}
    assert "two splits" not in caplog.text
    (tmp_path / "test/cat/0.png").write_bytes((tmp_path / "train/cat/1.png").read_bytes())
    folder(tmp_path).setup()
    assert "1 images are in two splits: test/cat/0.png = train/cat/1.png" in caplog.text


@pytest.mark.parametrize(("given", "held"), [("val", "test"), ("test", "val")])
def test_a_split_without_a_folder_is_held_out_of_train(tmp_path: Path, given: str, held: str) -> None:
    fill(tmp_path / "train", each=10)
    fill(tmp_path / given, each=3, seed=1)
    splits = by_split(tmp_path, **{f"{held}_fraction": 0.3})
    assert splits[given] == [given] * 6 and splits[held] == ["train"] * 6 and len(splits["train"]) == 14


def test_the_name_of_a_split_may_be_a_class(tmp_path: Path) -> None:
    fill(tmp_path, ("car", "plane", "train"))
    assert list(images_by_class(tmp_path)) == ["car", "plane", "train"]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["images/a", "masks/a"], "holds images, masks: these are not all classes"),
        (["val/a", "val/b", "test/a", "test/b"], "holds test, val: these are not all classes"),
        (["train/a", "test/a", "spare/a"], "holds spare, test, train: these are not all classes"),
        (
            ["train/good", "test/good", "test/bad"],
            "bad of val or test is not among them; .* data=anomaly",
        ),
        (["train/a", "test/a"], "are of 1 classes (a); every class must be in train"),
        (["train", "test"], "images of test, train in .* are in no class folder"),
    ],
)
def test_subfolders_that_cannot_be_classes_are_refused(tmp_path: Path, folders: list[str], said: str) -> None:
    for number, name in enumerate(folders):
        fill(tmp_path, (name,), 3, number)
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), refusal(tmp_path))


def test_subfolders_that_may_not_be_the_classes_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, camera in enumerate(("cam1", "cam2")):
        fill(tmp_path / camera, ("cat", "dog"), 5, number)
    folder(tmp_path).setup()
    assert "cam1, cam2 are taken as the classes, and each holds cat, dog" in caplog.text


def test_the_edge_decides_about_small_images_and_about_what_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    assert {edge: shown_of(tmp_path, edge) for edge in ("shift", "pad")} == {"shift": 1.0, "pad": 1.0}
    with caplog.at_level("INFO"):
        assert shown_of(tmp_path, "drop") < 1
    assert "data.edge=shift shows the rest" in caplog.text
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a" / "small.png")
    with pytest.raises(DataError, match="fewer than a patch"):
        shown_of(tmp_path, "shift")
    assert shown_of(tmp_path, "pad") == 1


def shown_of(root: Path, edge: str) -> float:
    data = folder(root, edge=edge)
    data.setup()
    share: float = data.fingerprint()["coverage"]
    return share

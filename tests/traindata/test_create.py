"""Raw images become a data set, split by what they show; all that is wrong is named, and nothing written."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import make_anomaly_folder
from PIL import Image
from whole_command import ROOT

from patchsets.data.anomaly import AnomalyImages
from patchsets.traindata.create import create_or_check
from patchsets.traindata.cutting import KINDS
from patchsets.traindata.settings import Words
from workbench.common.errors import ConfigError, DataError, UserError
from workbench.config.command import read_words


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Write twelve good photographs of four parts, and three scratched ones with masks."""
    random = np.random.default_rng(0)
    folder = tmp_path / "raw"
    for number in range(12):
        _save(folder / f"good/part{number // 3}_{number}.png", random.integers(60, 200, (40, 48)))
    for number in range(3):
        pixels, mask = random.integers(60, 200, (40, 48)), np.zeros((40, 48))
        pixels[4:8, 4:20], mask[4:8, 4:20] = 0, 255
        _save(folder / f"anomaly/scratch/part9_{number}.png", pixels)
        _save(folder / f"masks/scratch/part9_{number}_mask.png", mask)
    return folder


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def create(*words: str) -> int:
    return create_or_check(read_words(Words, words))


def of(raw: Path, output: Path, *words: str) -> list[dict[str, str]]:
    """Make a data set of the raw images; return its manifest."""
    folders = [f"{key}={raw / key}" for key in ("good", "anomaly", "masks")]
    assert create(*folders, f"output={output}", "size=16", *words) == 0
    return manifest(output)


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_raw_images_become_a_data_set_that_is_read(raw: Path, tmp_path: Path) -> None:
    rows = of(raw, tmp_path / "set")
    data = AnomalyImages(str(tmp_path / "set"), 4, 0, 16)
    data.setup()
    assert {row["split"] for row in rows} == {"train", "test"}
    kinds = [data.kind("test", row) for row in range(len(data.splits["test"].label))]
    assert kinds.count("scratch") == 3 and 1 <= kinds.count("good") <= 4
    row = kinds.index("scratch")
    mask, image = data.mask("test", row), data.image("test", row)
    assert mask.any() and image[mask].mean() < image[~mask].mean()
    on_disk = hashes(tmp_path / "set")
    assert all(on_disk[row["path"]] == row["sha256"] for row in rows)
    assert json.loads((tmp_path / "set/manifest.json").read_text())["parameters"]["size"] == 16


def test_images_need_not_be_square(raw: Path, tmp_path: Path) -> None:
    rows = of(raw, tmp_path / "set", "size=[16,24]")
    assert {_read(tmp_path / "set" / row["path"]).shape[:2] for row in rows} == {(16, 24)}
    assert {_read(tmp_path / "set" / row["mask"]).shape for row in rows if row["mask"]} == {(16, 24)}
    assert json.loads((tmp_path / "set/manifest.json").read_text())["parameters"]["size"] == [16, 24]


def test_the_same_images_and_seed_give_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        of(raw, tmp_path / name, "tile=20", "group=part(\\d+)")
    of(raw, tmp_path / "other", "tile=20", "group=part(\\d+)", "seed=3")
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") != hashes(tmp_path / "other")


def test_tiles_of_a_group_are_in_one_split(raw: Path, tmp_path: Path) -> None:
    rows = [row for row in of(raw, tmp_path / "set", "tile=20", "group=part(\\d+)") if row["kind"] == "good"]
    split = {row["group"]: row["split"] for row in rows}
    assert all(row["split"] == split[row["group"]] for row in rows)
    assert set(split) == {"0", "1", "2", "3", "9"} and set(split.values()) == {"train", "test"}
    assert split["9"] == "test"  # tiles beside a defect are good ones of an image that is for the test
    assert len(rows) == 12 * 6 + 3 * 4  # two of the six tiles show the defect


def test_good_images_of_an_anomalous_group_are_for_the_test(raw: Path, tmp_path: Path) -> None:
    (raw / "anomaly/scratch/part9_0.png").rename(raw / "anomaly/scratch/part2_0.png")
    (raw / "masks/scratch/part9_0_mask.png").rename(raw / "masks/scratch/part2_0_mask.png")
    rows = of(raw, tmp_path / "set", "group=part(\\d+)")
    assert {row["split"] for row in rows if row["group"] == "2"} == {"test"}


def test_a_copy_under_another_name_is_in_the_same_split(raw: Path, tmp_path: Path) -> None:
    for number in range(12):
        first = raw / f"good/part{number // 3}_{number}.png"
        (raw / f"good/again_{number}.png").write_bytes(first.read_bytes())
    rows = of(raw, tmp_path / "set")
    split = {Path(row["path"]).stem: row["split"] for row in rows}
    assert all(split[f"again_{n}"] == split[f"part{n // 3}_{n}"] for n in range(12))


def test_near_duplicates_across_splits_are_named(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    small = Image.fromarray(random.integers(0, 256, (5, 6), dtype=np.uint8))
    photograph = np.asarray(small.resize((48, 40), Image.Resampling.BICUBIC))
    for number in range(12):
        _save(raw / f"good/alike_{number}.png", photograph // 2 + random.integers(60, 64, (40, 48)))
    of(raw, tmp_path / "set")
    told = capsys.readouterr().out
    assert "nearly the same" in told and "good/alike_0.png" in told and "part0_0" not in told


def test_a_region_is_cut_from_image_and_mask_alike(raw: Path, tmp_path: Path) -> None:
    of(raw, tmp_path / "set", "region=4,4,20,20")
    mask = _read(tmp_path / "set/ground_truth/scratch/part9_0_mask.png")
    assert (mask[:4] == 255).all() and (mask[4:] == 0).all()


def test_any_mode_size_and_name_is_taken(raw: Path, tmp_path: Path) -> None:
    colour = Image.fromarray(np.random.default_rng(2).integers(0, 256, (30, 60, 3), dtype=np.uint8))
    colour.save(raw / "good/写真 1.jpg")
    colour.convert("RGBA").save(raw / "good/alpha.png")
    colour.convert("L").save(os.fsencode(raw / "good") + b"/bad\xff.bmp")
    rows = of(raw, tmp_path / "set", "fit=letterbox")
    stems = {Path(row["path"]).stem for row in rows}
    assert {"写真 1", "alpha", "bad_udcff"} < stems
    assert all((tmp_path / "set" / row["path"]).is_file() for row in rows)
    data = AnomalyImages(str(tmp_path / "set"), 4, 0, 16)
    data.setup()
    assert data.image_shape == (3, 16, 16)


def test_synthetic_defects_differ_from_their_good_twin_within_the_mask(raw: Path, tmp_path: Path) -> None:
    words = [f"good={raw / 'good'}", "synthesize=true", "per_kind=3", "size=40"]
    assert create(*words, f"output={tmp_path / 'set'}") == 0
    rows = [row for row in manifest(tmp_path / "set") if row["twin"]]
    assert sorted({row["kind"] for row in rows}) == sorted(KINDS) and len(rows) == 3 * len(KINDS)
    for row in rows:
        image, twin, mask = (
            _read(tmp_path / "set" / row[key]).astype(int) for key in ("path", "twin", "mask")
        )
        assert np.abs(image - twin)[mask > 0].mean() > 3, row["path"]
        assert mask.any() and np.abs(image - twin)[mask == 0].mean() < 3, row["path"]


def test_a_data_set_made_anew_keeps_its_splits(tmp_path: Path) -> None:
    make_anomaly_folder(tmp_path / "old")
    assert create(f"input={tmp_path / 'old'}", f"output={tmp_path / 'new'}", "size=8", "fit=letterbox") == 0
    old, new = (
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.png")}
        for name in ("old", "new")
    )
    assert old == new
    assert _read(tmp_path / "new/train/good/000.png").shape == (8, 8)


def test_everything_wrong_is_named_at_once_and_nothing_is_written(raw: Path, tmp_path: Path) -> None:
    (raw / "good/broken.png").write_bytes((raw / "good/part0_0.png").read_bytes()[:60])
    (raw / "good/empty.jpg").write_bytes(b"")
    _save(raw / "good/small.png", np.zeros((8, 8)))
    _save(raw / "masks/scratch/nothing_mask.png", np.zeros((8, 8)))
    _save(raw / "masks/scratch/part9_1_mask.png", np.zeros((8, 8)))
    (raw / "anomaly/scratch/good.png").write_bytes((raw / "good/part0_0.png").read_bytes())
    with pytest.raises(DataError) as caught:
        of(raw, tmp_path / "set")
    for part in (
        "6 things are wrong", "good/broken.png", "empty.jpg: the file is empty",
        "nothing_mask.png: a mask without an image",
        "part9_1_mask.png: 8x8 pixels, its image has 48x40", "mixed sizes: 48x40 (16), 8x8 (1)",
        "anomaly/scratch/good.png: the same image as good/part0_0.png",
    ):  # fmt: skip
        assert part in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["good=raw/good"], "output: missing"),
        (["output=set"], "good: give"),
        (["good=nowhere", "output=set"], "no folder nowhere"),
        (["good=raw", "input=raw", "output=set"], "not both"),
        (["good=raw/good", "output=raw"], "there already"),
        (["good=raw/good", "output=set", "region=9,9,9,20"], "is empty"),
        (["good=raw/good", "output=set", "region=0,0,900,900"], "do not hold the region"),
        (["good=raw/good", "output=set", "tile=41"], "fewer than a tile's"),
        *[
            (["good=raw/good", "output=set", f"size={size}"], "size: .* neither")
            for size in ("0", "9,0", "a")
        ],
        (["good=raw/good", "output=set", "group=("], "no regular expression"),
        (["good=raw/good", "output=set", "group=part"], "nothing to split"),
        (["good=raw/good", "output=set", "anomaly=raw/anomaly", "tile=20"], "not known which of its tiles"),
        (["good=raw/good", "output=set", "anomaly=raw/anomaly", "synthesize=true"], "synthesize:"),
        (["good=raw/good", "output=set", "masks=raw/masks"], "masks: they belong"),
        (["check=nowhere"], "no such folder"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    raw: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw.parent)
    with pytest.raises(UserError, match=told):
        create(*words)
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_check_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_anomaly_folder(tmp_path)
    assert create(f"check={tmp_path}") == 0
    assert "test/hole                    3 images, 3 with a mask" in capsys.readouterr().out
    (tmp_path / "test/good/001.png").write_bytes((tmp_path / "train/good/002.png").read_bytes())
    (tmp_path / "test/good/002.png").write_bytes(b"")
    (tmp_path / "test/hole/000.png").unlink()
    _save(tmp_path / "ground_truth/hole/002_mask.png", np.zeros((20, 24)))
    assert create(f"check={tmp_path}") == 1
    told = capsys.readouterr().out
    for part in (
        "test/good/001.png: the same image as train/good/002.png", "test/good/002.png: the file is empty",
        "000_mask.png: a mask without an image", "002_mask.png: the mask is empty", "trivial statistics",
    ):  # fmt: skip
        assert part in told


def test_a_killed_process_leaves_no_folder_and_the_next_one_makes_it(raw: Path, tmp_path: Path) -> None:
    code = (
        "import os, pathlib\nfrom patchsets.traindata.create import new_folder\n"
        f"with new_folder(pathlib.Path({str(tmp_path / 'set')!r})) as folder:\n"
        "    (folder / 'half.png').touch()\n    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set.new", "raw"]
    of(raw, tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "set"]
    assert not (tmp_path / "set/half.png").exists()


def test_the_command_tells_mistakes_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "src/create_traindata.py"), "god=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == ConfigError.exit_code
    assert done.stderr == "error: god: there is no such key: did you mean good?\n"


def test_every_anomaly_keeps_its_kind_whatever_its_mask(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, side in enumerate((0, 1, 8)):  # of a defect; at 16x16 a pixel is 2.5x3 of the image
        pixels, mask = np.full((40, 48), 120), np.zeros((40, 48))
        pixels[number : number + side, :side], mask[number : number + side, :side] = 255, 255
        pixels[20 + number, 20:40] = 200 + number  # so that they differ
        _save(raw / f"anomaly/dent/{side}px.png", pixels)
        _save(raw / f"masks/dent/{side}px.png", mask)
    rows = [row for row in of(raw, tmp_path / "set") if "dent" in row["source"]]
    assert [(row["path"], bool(row["mask"])) for row in rows] == [
        ("test/dent/0px.png", False), ("test/dent/1px.png", True), ("test/dent/8px.png", True),
    ]  # fmt: skip
    assert (_read(tmp_path / "set/ground_truth/dent/1px_mask.png") > 0).sum() == 1
    told = capsys.readouterr().out
    assert "1 masks are empty; these anomalies stay, without a mask: anomaly/dent/0px.png" in told
    assert "1 defects fill no pixel by half at 16x16" in told and "anomaly/dent/1px.png" in told
    assert "18 images of 18 (12 good, 3 dent, 3 scratch)" in told

    with pytest.raises(DataError, match=r"0px\.png: the mask is empty, so it is not known which"):
        of(raw, tmp_path / "tiles", "tile=20")
    (raw / "anomaly/dent/0px.png").unlink()
    (raw / "masks/dent/0px.png").unlink()
    rows = [row for row in of(raw, tmp_path / "tiles", "tile=20") if row["source"] == "anomaly/dent/1px.png"]
    assert sorted(row["kind"] for row in rows) == ["dent", *["good"] * 5]
    with pytest.raises(DataError, match=r"1px\.png: the defect lies outside the region 8,8,40,40"):
        of(raw, tmp_path / "region", "region=8,8,40,40")

"""manifest.csv: where each image of a data set comes from.

What images a data set for anomaly detection has, in the layout of MVTec AD or of one class of VisA.

MVTec AD: train/good, [val/good, val/<kind>], test/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png.
VisA: Data/Images/Normal, Data/Images/Anomaly, Data/Masks/Anomaly; its split is ../split_csv/1cls.csv where
that is there, else every tenth good image is for the test.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from workbench.common.errors import DataError
from workbench.portable.pixels import fitted, is_image_name, shown

NAME = "manifest.csv"


@dataclass(frozen=True)
class Row:
    """One image; paths are relative to the data set's folder, with slashes."""

    path: str
    split: str  # train, val or test
    kind: str  # good, or what the defect is
    mask: str  # empty where there is none
    source: str  # the file it was made from
    group: str  # images of one group are never in two splits
    box: str  # left, top, right, bottom in the source
    twin: str  # the good image that differs by the defect alone
    sha256: str  # of the file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, rows: Sequence[Row]) -> None:
    """Write one line for each image, sorted by path."""
    with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: row.path))


def read_groups(folder: Path) -> dict[str, str]:
    """Return the group (else the source) of each image by its path; empty where there is no manifest.

    Raises DataError where the file is another kind of table.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["path"]: row.get("group") or row["source"] for row in rows}
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no column {error} in it; replace or remove it") from error


FITS = ("stretch", "letterbox")
GOOD = "good"
VISA_TEST_EVERY = 10
WANTED = "train/good, test/good and test/<kind of defect>"


@dataclass(frozen=True)
class Entry:
    """One image of a data set."""

    path: Path
    split: str  # train, val or test
    kind: str  # good, or what the defect is
    mask: Path | None = None
    group: str | None = None  # images of one group belong together, where that is known


@dataclass
class Layout:
    """The images found, and what is odd about the folder though it can be used."""

    name: str
    entries: list[Entry]
    oddities: list[str] = field(default_factory=list)

    def of(self, split: str) -> list[Entry]:
        """Return the images of a split: good ones first, then defects by name."""
        return [entry for entry in self.entries if entry.split == split]


def read_layout(root: Path) -> Layout:
    """Find the images below a folder, in a fixed order.

    Raises DataError where it is in neither layout, or has no good image to train on or none to test.
    """
    if not root.is_dir():
        raise DataError(f"{shown(root)}: there is no such folder; it should hold {WANTED}")
    if (root / "Data" / "Images" / "Normal").is_dir():
        layout = _visa(root)
    elif (root / "train" / GOOD).is_dir():
        layout = _mvtec(root)
    else:
        raise DataError(f"{shown(root)} holds no train/good; {_advice(root)}")
    missing = [split for split in ("train", "test") if not layout.of(split)]
    if missing:
        raise DataError(f"{shown(root)}: no image in {' and '.join(missing)}; it should hold {WANTED}")
    return layout


def _advice(root: Path) -> str:
    layouts = (("train", GOOD), ("Data", "Images", "Normal"))
    inside = [
        folder.name
        for folder in sorted(root.iterdir())
        if any(folder.joinpath(*parts).is_dir() for parts in layouts)
    ]
    if inside:
        return f"name one of the data sets in it: {', '.join(inside[:20])}"
    return f"it should hold {WANTED}; python src/create_traindata.py makes that of raw images"


def _mvtec(root: Path) -> Layout:
    groups = read_groups(root)
    layout = Layout("MVTec AD", [])
    masks = dict(_masks(root / "ground_truth"))
    for split in ("train", "val", "test"):
        for kind in _kinds(root / split):
            if split == "train" and kind != GOOD:
                layout.oddities.append(f"train/{kind}: left out, training is on good images only")
                continue
            for path in images_in(root / split / kind):
                mask = masks.pop((kind, path.stem), None)
                group = groups.get(path.relative_to(root).as_posix())
                layout.entries.append(Entry(path, split, kind, mask, group))
    layout.oddities += [
        f"{shown(mask.relative_to(root))}: a mask without an image" for mask in masks.values()
    ]
    return layout


def _kinds(folder: Path) -> list[str]:
    """Return the subfolders of a split: good, then the others by name."""
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted((name for name in names if not name.startswith(".")), key=lambda name: (name != GOOD, name))


def images_in(folder: Path) -> list[Path]:
    """Return the image files that lie in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_image_name(path))


def _masks(folder: Path) -> Iterator[tuple[tuple[str, str], Path]]:
    for kind in _kinds(folder):
        for path in images_in(folder / kind):
            yield (kind, path.stem.removesuffix("_mask")), path


def _visa(root: Path) -> Layout:
    images = root / "Data" / "Images"
    split = _visa_split(root)
    masks = {path.stem: path for path in images_in(_folder(root / "Data" / "Masks" / "Anomaly"))}
    entries = [
        Entry(path, split.get(path.name, "test" if number % VISA_TEST_EVERY == 0 else "train"), GOOD)
        for number, path in enumerate(images_in(images / "Normal"))
    ]
    entries += [
        Entry(path, "test", "anomaly", masks.pop(path.stem, None))
        for path in images_in(_folder(images / "Anomaly"))
    ]
    oddities = [f"{shown(mask.relative_to(root))}: a mask without an image" for mask in masks.values()]
    return Layout("VisA", entries, oddities)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"{shown(path)}: there is no such folder; VisA has it")
    return path


def _visa_split(root: Path) -> dict[str, str]:
    """Return the published split of good images by file name, where it was unpacked too."""
    path = root.parent / "split_csv" / "1cls.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["object"] == root.name]
    return {Path(row["image"]).name: row["split"] for row in rows if row["label"] == "normal"}


def as_mask(pixels: np.ndarray) -> np.ndarray:
    """Return where a mask's file says anomalous, `[H, W]` bool: white; any number but 0 where all are low."""
    grey = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    mask: np.ndarray = grey > (127 if grey.max() > 127 else 0)
    return mask


def fit_mask(mask: np.ndarray, size: Sequence[int] | int, fit: str) -> np.ndarray:
    """Bring a mask `[H, W]` bool to a size: True where at least half of a pixel is.

    Of a defect that fills no pixel by half, the fullest pixel stays: none vanishes.
    """
    if not vanishes(mask, size, fit):
        return _half_full(mask, size, fit)
    share = fitted(mask.astype(np.float32), size, fit)
    fullest: np.ndarray = share == share.max()
    return fullest


def vanishes(mask: np.ndarray, size: Sequence[int] | int, fit: str) -> bool:
    """Tell whether a defect fills no pixel by half at a size."""
    return bool(mask.any()) and not bool(_half_full(mask, size, fit).any())


def _half_full(mask: np.ndarray, size: Sequence[int] | int, fit: str) -> np.ndarray:
    full: np.ndarray = fitted(mask.astype(np.uint8) * 255, size, fit) > 127
    return full

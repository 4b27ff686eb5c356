"""Which images lie below a folder, of which class, and for which split where the folder says so."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.common.errors import DataError
from workbench.portable.pixels import is_image_name, shown

log = logging.getLogger(__name__)

ADVICE = "make one subfolder for each class and put its images there"
# How a folder that holds a split may be called, in small letters.
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"test": "test", "testing": "test"}
NO_CLASSES = {"image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotations"}
NO_CLASSES |= {"ground_truth", "groundtruth"}


@dataclass(frozen=True)
class ClassFolders:
    """N image files with their classes `[N]`; `split` says train, val or test of each where that is given."""

    classes: list[str]
    paths: list[Path]
    label: np.ndarray
    split: np.ndarray | None


def find_images(root: Path) -> ClassFolders:
    """Find `<class>/**/<image>`, or `train/<class>/**/<image>` and the like where all subfolders are splits.

    Raises DataError where the subfolders cannot be classes, or one of them has no image.
    """
    if not root.is_dir():
        raise DataError(f"data.root: there is no folder {shown(root)}; {ADVICE}")
    folders = _folders(root)
    split = {folder: SPLITS[name] for folder in folders if (name := folder.name.lower()) in SPLITS}
    if len(split) == len(folders) and "train" in split.values():
        return _of_splits(root, split)
    if len(split) > 1 or any(folder.name.lower() in NO_CLASSES for folder in folders):
        names = ", ".join(folder.name for folder in folders)
        raise DataError(
            f"data.root: {shown(root)} holds {names}: these are not all classes, nor all of train, val and "
            f"test; {ADVICE}, or into train/<class>, val/<class> and test/<class>{_hint(root)}"
        )
    return _of_classes(root, folders)


def _of_classes(root: Path, folders: list[Path]) -> ClassFolders:
    found = {shown(Path(folder.name)): _images(folder) for folder in folders}
    if len(found) < 2:
        raise DataError(
            f"data.root: {shown(root)} has {len(found)} class folders ({', '.join(found)}); {ADVICE}"
        )
    if empty := [name for name, images in found.items() if not images]:
        raise DataError(f"data.root: no image in {', '.join(empty)} of {shown(root)}; fill or remove it")
    inner = {frozenset(sub.name for sub in _folders(folder)) for folder in folders}
    if len(inner) == 1 and len(next(iter(inner))) > 1:
        log.warning(
            "data.root: %s are taken as the classes, and each holds %s; where these are the classes, %s",
            ", ".join(found), ", ".join(sorted(next(iter(inner)))), ADVICE,
        )  # fmt: skip
    paths = [path for images in found.values() for path in images]
    label = np.repeat(np.arange(len(found)), [len(images) for images in found.values()])
    _tell_ignored(root, paths)
    return ClassFolders(list(found), paths, label, None)


def _of_splits(root: Path, split: dict[Path, str]) -> ClassFolders:
    loose = [
        folder.name for folder in split if any(is_image_name(p) and p.is_file() for p in folder.iterdir())
    ]
    if loose:
        raise DataError(
            f"data.root: images of {', '.join(loose)} in {shown(root)} are in no class folder; "
            "put them into train/<class>, val/<class> and test/<class>"
        )
    found = [
        (shown(Path(folder.name)), part, path)
        for top, part in split.items()
        for folder in _folders(top)
        for path in _images(folder)
    ]
    classes = sorted({name for name, *_ in found})
    trained = {name for name, part, _ in found if part == "train"}
    if len(trained) < 2 or len(trained) < len(classes):
        lacking = ", ".join(name for name in classes if name not in trained)
        said = f"; {lacking} of val or test is not among them" if lacking else ""
        raise DataError(
            f"data.root: the training images of {shown(root)} are of {len(trained)} classes "
            f"({', '.join(sorted(trained))}){said}; every class must be in train{_hint(root)}"
        )
    label = np.array([classes.index(name) for name, *_ in found])
    paths = [path for *_, path in found]
    _tell_ignored(root, paths)
    return ClassFolders(classes, paths, label, np.array([part for _, part, _ in found]))


def _hint(root: Path) -> str:
    """Say which data it is for where the folder has the layout of MVTec AD."""
    is_mvtec = (root / "train" / "good").is_dir()
    return f"; to find anomalies: task=autoencoder data=anomaly data.root={shown(root)}" if is_mvtec else ""


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if is_image_name(path)]


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder in a fixed order; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _tell_ignored(root: Path, images: list[Path]) -> None:
    taken = set(images)
    names = [shown(path.relative_to(root)) for path in _files(root) if path not in taken]
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        log.info(
            "ignored %d files that are no images of a class: %s%s", len(names), ", ".join(names[:10]), more
        )

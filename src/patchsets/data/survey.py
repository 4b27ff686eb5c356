"""What is in a data set, and what is wrong with it, for a person who looks before training."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.common.errors import UserError
from workbench.common.machine import Finding
from workbench.portable.pixels import shown

SHOWN = 5
FEATURES = (".h5", ".hdf5", ".npz", ".npy", ".pt", ".pth", ".safetensors")


def kind_of(root: Path) -> str:
    """Return the word of `data=` that a folder looks like: folder, anomaly or features."""
    if (root / "train" / "good").is_dir() or (root / "Data" / "Images").is_dir():
        return "anomaly"
    files = [*root.glob("*.*"), *root.glob("*/*.*")] if root.is_dir() else []
    return "features" if any(path.suffix.lower() in FEATURES for path in files) else "folder"


def survey(data: Any) -> Iterator[Finding]:
    """Read a data set as training would, and say what it holds; what training would refuse is `wrong`."""
    with _told() as told:
        try:
            getattr(data, "find_files", lambda: None)()
            data.prepare_data()
            data.setup()
        except UserError as error:
            yield Finding("wrong", "data", str(error))
    if not getattr(data, "splits", None):
        return
    yield from _splits(data)
    yield from _images(data)
    yield from _copies(data)
    yield from told


@contextmanager
def _told() -> Iterator[list[Finding]]:
    """Gather what the data log of themselves."""
    told: list[Finding] = []

    class Gather(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(Finding("note", "data", record.getMessage()))

    log, handler = logging.getLogger("patchsets"), Gather()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield told
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _splits(data: Any) -> Iterator[Finding]:
    """Tell how many examples of each class every split has."""
    for name, split in data.splits.items():
        total = len(split.label)
        said = f"{total} examples"
        if data.classes and split.label.dim() == 1:
            counts = torch.bincount(split.label.long(), minlength=len(data.classes)).tolist()
            said += ": " + ", ".join(
                f"{one} {count}" for one, count in zip(data.classes, counts, strict=True)
            )
        yield Finding("ok" if total else "note", name, said)


def _images(data: Any) -> Iterator[Finding]:
    """Tell of what sizes the images are, or the bags."""
    parts = [split for split in data.splits.values() if len(split.label)]
    if hasattr(parts[0], "images"):
        sizes = Counter(tuple(size) for part in parts for size in part.images.size.tolist()).most_common()
        said = ", ".join(f"{width}x{height} ({count})" for (height, width), count in sizes[:SHOWN])
        more = f" and {len(sizes) - SHOWN} other sizes" if len(sizes) > SHOWN else ""
        colours = {1: "grey"}.get(parts[0].images.channels, "colour")
        yield Finding("ok", "images", f"{colours}, as they are given to a network: {said}{more}")
    elif hasattr(parts[0], "lengths"):
        lengths = torch.cat([torch.as_tensor(part.lengths) for part in parts])
        said = f"{int(lengths.min())} to {int(lengths.max())} elements, the median {int(lengths.median())}"
        yield Finding("ok", "sets", f"{said}; {data.num_features} features each")


def _copies(data: Any) -> Iterator[Finding]:
    """Tell which files show the same."""
    if not hasattr(data, "looks"):
        return
    same: dict[str, list[str]] = defaultdict(list)
    for path, look in zip(data.found.paths, data.looks, strict=True):
        same[look.sha256].append(shown(path.relative_to(data.root)))
    copies = [" = ".join(names) for names in same.values() if len(names) > 1]
    if copies:
        more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
        said = f"{len(copies)} images are there more than once: {', '.join(copies[:SHOWN])}{more}"
        yield Finding("note", "copies", said)
    else:
        yield Finding("ok", "copies", "no image is there twice")

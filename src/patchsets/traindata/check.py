"""What trivial statistics reach on a test set: a warning where they alone tell good from bad.

create_traindata.py check=<folder>: what a data set holds, and what is wrong with it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchsets.anomaly.trivial import STATISTICS, best_of, trivial_scores
from patchsets.data.image_files import ImageFile, try_images
from patchsets.data.layout import GOOD, Entry, as_mask, read_layout
from patchsets.traindata.inspection import is_blank, near_duplicates, thumbnail
from workbench.portable.pixels import Unusable, decode, shown

FEW = 20  # good images or anomalies
SUSPICIOUS = 0.65  # AUROC; chance reaches 0.57 on 60 + 60 images, as the best of six


class TrivialGuard:
    """Sees the test images one by one, of whatever size, and keeps their mean, deviation and range."""

    def __init__(self) -> None:
        self.values: list[list[float]] = []
        self.is_anomaly: list[bool] = []

    def see(self, image: np.ndarray, is_anomaly: bool) -> None:
        """Take one image `[H, W]` or `[H, W, 3]` uint8."""
        self.values.append([score.item() for score in trivial_scores(image[None]).values()])
        self.is_anomaly.append(is_anomaly)

    def verdict(self) -> str | None:
        """Say what the best of them reaches; None where there are not both kinds of images."""
        if len(set(self.is_anomaly)) < 2:
            return None
        scores = dict(zip(STATISTICS, np.array(self.values).T, strict=True))
        best = best_of(scores, np.array(self.is_anomaly))
        verdict = "a detector has to do better"
        if min(Counter(self.is_anomaly).values()) < FEW:
            verdict = "too few test images for it to mean much"
        elif best.auroc > SUSPICIOUS:
            verdict = "is it a leak? Good and anomalous images differ in light or contrast as a whole"
        return f"trivial statistics reach AUROC {best.auroc:.3f} ({best.name} of the image): {verdict}"


NAMED = 10  # of a long list


@dataclass(frozen=True)
class Looked:
    """The images of a data set that can be read, and the names of the others with the reason."""

    root: Path
    entries: list[Entry]
    files: list[ImageFile]  # with a thumbnail as pixels
    unreadable: list[str]

    def name(self, row: int) -> str:
        """Return the path of an image within the folder."""
        return shown(self.entries[row].path.relative_to(self.root))


def check(root: Path) -> int:
    """Print what was found; return 1 where something is wrong, else 0. Raises DataError for no data set."""
    layout = read_layout(root)
    print(f"{shown(root)}: in the layout of {layout.name}")
    looked = _look(root, layout.entries)
    for line in _found(looked):
        print(f"  {line}")
    wrong = [
        *looked.unreadable,
        *layout.oddities,
        *_mask_mistakes(looked),
        *_leaks(looked),
        *_lacking(looked),
    ]
    for line in wrong:
        print(f"wrong: {line}")
    for line in _remarks(looked):
        print(f"note: {line}")
    print(f"wrong: {len(wrong)}" if wrong else "nothing is wrong with it")
    return 1 if wrong else 0


def _look(root: Path, entries: Sequence[Entry]) -> Looked:
    looked = Looked(root, [], [], [])
    results = try_images([entry.path for entry in entries], 1, thumbnail)
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, Unusable):
            looked.unreadable.append(f"{shown(entry.path.relative_to(root))}: {result}")
        else:
            looked.entries.append(entry)
            looked.files.append(result)
    return looked


def _found(looked: Looked) -> Iterator[str]:
    images = Counter((entry.split, entry.kind) for entry in looked.entries)
    masks = Counter((entry.split, entry.kind) for entry in looked.entries if entry.mask)
    for (split, kind), count in images.items():
        known = "" if kind == GOOD else f", {masks[split, kind]} with a mask"
        yield f"{split + '/' + kind:24} {count:5} images{known}"
    sizes = Counter(file.size for file in looked.files).most_common()
    counted = ", ".join(f"{width}x{height} ({count})" for (height, width), count in sizes[:5])
    yield f"sizes: {counted}{f' and {len(sizes) - 5} more' if len(sizes) > 5 else ''}"


def _mask_mistakes(looked: Looked) -> Iterator[str]:
    known = [(row, entry.mask) for row, entry in enumerate(looked.entries) if entry.mask]
    masks = try_images([mask for _, mask in known], 1, as_mask)
    for (row, path), mask in zip(known, masks, strict=True):
        name = shown(path.relative_to(looked.root))
        if isinstance(mask, Unusable):
            yield f"{name}: {mask}"
        elif mask.size != looked.files[row].size:
            (height, width), (rows, columns) = mask.size, looked.files[row].size
            yield f"{name}: {width}x{height} pixels, its image has {columns}x{rows}"
        elif not mask.pixels.any():
            yield f"{name}: the mask is empty"


def _leaks(looked: Looked) -> Iterator[str]:
    """Name images that are in two splits, or good and anomalous at once."""
    first: dict[str, int] = {}
    for row, (entry, file) in enumerate(zip(looked.entries, looked.files, strict=True)):
        if is_blank(file.pixels):
            continue
        other = looked.entries[first.setdefault(file.sha256, row)]
        if (other.split, other.kind == GOOD) != (entry.split, entry.kind == GOOD):
            yield f"{looked.name(row)}: the same image as {looked.name(first[file.sha256])}"


def _lacking(looked: Looked) -> Iterator[str]:
    test = [entry.kind == GOOD for entry in looked.entries if entry.split == "test"]
    if not any(test):
        yield f"test/{GOOD}: no good image, so false alarms cannot be counted"
    if all(test):
        yield "test: no anomaly, so nothing can be ranked"


def _remarks(looked: Looked) -> Iterator[str]:
    good = [row for row, entry in enumerate(looked.entries) if entry.kind == GOOD]
    split = [looked.entries[row].split for row in good]
    pairs = near_duplicates([looked.files[row].pixels for row in good], split)
    if pairs:
        some = [f"{looked.name(good[a])} = {looked.name(good[b])}" for a, b in pairs[:NAMED]]
        more = [f"and {len(pairs) - NAMED} more"] if len(pairs) > NAMED else []
        yield "\n  ".join(
            [f"{len(pairs)} pairs of good images in different splits are nearly the same:", *some, *more]
        )
    if blank := sum(is_blank(file.pixels) for file in looked.files):
        yield f"{blank} images show nothing: one grey all over"
    if len({file.size for file in looked.files}) > 1:
        yield "sizes differ: stretched to one size images differ in shape; data.fit=letterbox keeps it"
    guard = TrivialGuard()
    for entry in looked.entries:
        if entry.split == "test":
            guard.see(decode(entry.path), entry.kind != GOOD)
    if verdict := guard.verdict():
        yield verdict

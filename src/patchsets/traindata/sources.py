"""The raw images a data set is made of: which there are, of what kind, with which mask.

Which raw image is for training and which for the test.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchsets.data.layout import GOOD, read_layout
from patchsets.traindata.settings import Words
from workbench.common.errors import ConfigError
from workbench.portable.pixels import is_image_name, shown


@dataclass(frozen=True)
class Source:
    """One raw image."""

    path: Path
    name: str  # "good/IMG_1.jpg": where it comes from, as the manifest says it
    stem: str  # of the file made of it
    kind: str
    group: str  # never in two splits
    mask: Path | None = None
    split: str | None = None  # where it is known already


@dataclass
class Found:
    """The raw images, and what is wrong with the folders."""

    sources: list[Source]
    problems: list[str]


def find_sources(words: Words) -> Found:
    """Find what the words name. Raises ConfigError where a folder is not there."""
    return _of_data_set(Path(words.input), words) if words.input else _of_folders(words)


def _of_data_set(root: Path, words: Words) -> Found:
    layout = read_layout(root.expanduser())
    pattern = words.pattern()
    sources = [
        Source(
            entry.path,
            shown(relative := entry.path.relative_to(root.expanduser())),
            _stem(Path(relative.name)),
            entry.kind,
            entry.group or _group(relative, pattern),
            entry.mask,
            entry.split,
        )
        for entry in layout.entries
    ]
    return Found(sources, layout.oddities)


def _of_folders(words: Words) -> Found:
    pattern = words.pattern()
    found = Found([], [])
    folders = {"good": words.good, "anomaly": words.anomaly, "masks": words.masks}
    images = {key: list(_images(key, folder)) for key, folder in folders.items() if folder}
    masks = {_mask_key(relative): path for path, relative in images.pop("masks", [])}
    for key, files in images.items():
        if not files:
            found.problems.append(f"{key}={folders[key]}: no image in it")
        for path, relative in files:
            kind = GOOD if key == "good" else relative.parts[0] if len(relative.parts) > 1 else "anomaly"
            within = Path(*relative.parts[1:]) if kind == relative.parts[0] else relative
            mask = masks.pop(_mask_key(relative), None) if key == "anomaly" else None
            name = f"{key}/{shown(relative)}"
            found.sources.append(Source(path, name, _stem(within), kind, _group(relative, pattern), mask))
    if any(source.kind == GOOD and source.name.startswith("anomaly/") for source in found.sources):
        found.problems.append(f"anomaly={words.anomaly}: a kind of defect cannot be called {GOOD}")
    found.problems += [f"{shown(path)}: a mask without an image" for path in masks.values()]
    found.problems += _same_names(found.sources)
    return found


def _images(key: str, folder: str) -> Iterator[tuple[Path, Path]]:
    """Give the images below a folder, each with its path in it, in a fixed order."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigError(f"{key}: there is no folder {shown(root)}")
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and is_image_name(path) and not any(part[0] == "." for part in relative.parts):
            yield path, relative


def _mask_key(relative: Path) -> tuple[str, str]:
    return relative.parent.as_posix(), relative.stem.removesuffix("_mask")


def _stem(relative: Path) -> str:
    """Return the name of the file to be made, without suffix; bytes that are no UTF-8 become letters."""
    return shown(Path("_".join(relative.with_suffix("").parts))).replace("\\", "_")


def _group(relative: Path, pattern: re.Pattern[str] | None) -> str:
    """Return the key of a file: what the pattern finds in its name, else the file itself."""
    if pattern is not None and (match := pattern.search(relative.name)):
        return shown(Path(match[1] if match.groups() else match[0]))
    return shown(relative)


def _same_names(sources: list[Source]) -> list[str]:
    first: dict[tuple[str, str], Source] = {}
    return [
        f"{source.name} and {earlier.name} would both be called {source.stem}.png; rename one"
        for source in sources
        if (earlier := first.setdefault((source.kind, source.stem), source)) is not source
    ]


def split_sources(
    sources: Sequence[Source], sha256: Sequence[str], test_fraction: float, seed: int
) -> list[str] | None:
    """Return train or test for each raw image; None where there are too few groups to have both.

    Anomalies are for the test, and with them the good images of their groups. Images with the same pixels
    are of one group. A split that is known already is kept.
    """
    group = _joined([source.group for source in sources], sha256)
    anomalous = {group[row] for row, source in enumerate(sources) if source.kind != GOOD}
    good = sorted({group[row] for row, source in enumerate(sources) if source.kind == GOOD})
    free = [name for name in good if name not in anomalous]
    wanted = max(1, round(len(good) * test_fraction)) - (len(good) - len(free))
    if any(source.split is None for source in sources) and len(free) < 1 + max(wanted, 0):
        return None
    order = np.random.default_rng(seed).permutation(len(free))
    test = anomalous | {free[number] for number in order[: max(wanted, 0)]}
    return [source.split or ("test" if group[row] in test else "train") for row, source in enumerate(sources)]


def _joined(groups: Sequence[str], sha256: Sequence[str]) -> list[str]:
    """Return for each image the name of its group, after those that share an image became one."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group, digest in zip(groups, sha256, strict=True):
        one, other = sorted((root(f"group {group}"), root(f"pixels {digest}")))
        parent[other] = one
    return [root(f"group {group}") for group in groups]

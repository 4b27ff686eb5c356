"""Whether a run came out as an earlier one did; else where they part first, and what they were made of.

Imports the standard library alone: src/repeat.py asks it where nothing is installed.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.common.files import read_json
from workbench.run.metrics_file import read_metrics
from workbench.run.snapshot import CODE, LOCK, differing_files, read_lock
from workbench.run.starts import environment_of, starts

HARDWARE = ("processor", "cpus", "gpus")
# Words of a repetition that change no number, or are named by themselves.
WITHOUT_EFFECT = (
    "repeat=",
    "outputs=",
    "loggers",
    "note=",
    "tags.",
    "experiment_name=",
    "save_model=",
    "seed=",
)
NAMED = 3  # of the files, packages or keys that differ
TIMES = re.compile(r"seconds")  # in the name of a metric that no two runs share


@dataclass(frozen=True)
class Parting:
    """The first value that differs: when, which, and what it was in the original and in the repetition."""

    epoch: int
    step: int
    metric: str
    original: float | None
    repeated: float | None

    def __str__(self) -> str:
        if self.original is None or self.repeated is None:
            return f"{self.metric} in epoch {self.epoch} is in one of them only"
        by = abs(self.original - self.repeated)
        values = f"{self.original!r} and {self.repeated!r}"
        return f"{self.metric} in epoch {self.epoch} is the first to differ, by {by:.3g} ({values})"


@dataclass(frozen=True)
class Verdict:
    """How a repetition came out: where it parted from its original, and what differs between the two."""

    parting: Parting | None
    weights_differ: bool
    differences: Mapping[str, str]  # what of code, packages, ... and how

    @property
    def is_same(self) -> bool:
        """Whether every metric and every weight is the same bit for bit."""
        return self.parting is None and not self.weights_differ

    def __str__(self) -> str:
        because = "; ".join(f"{what}: {how}" for what, how in self.differences.items())
        if self.is_same:
            return f"the same, bit for bit{because and f' (though {because})'}"
        where = str(self.parting) if self.parting else "every metric is the same, the weights differ"
        return f"not the same: {where}; {because or 'nothing of what they were made of differs'}"

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        parting = vars(self.parting) if self.parting else None
        return {
            "same": self.is_same,
            "first_difference": parting,
            "weights_differ": self.weights_differ,
            "made_differently": dict(self.differences),
        }


def judge(original: Path, repeated: Path, words: Sequence[str] = ()) -> Verdict:
    """Compare two run folders: every metric and weight, then what they were made of.

    `words` are what was typed to repeat, beside the original's configuration.
    """
    found = made_differently(original, repeated)
    if others := [word for word in words if not word.lstrip("+").startswith(WITHOUT_EFFECT)]:
        found["words"] = " ".join(others)
    if (number := len(starts(original))) > 1:
        found["starts"] = f"the original went on {number - 1} times, with what was typed then"
    return Verdict(first_difference(original, repeated), not _same_weights(original, repeated), found)


def first_difference(original: Path, repeated: Path) -> Parting | None:
    """Return the first value of metrics.csv, by epoch and step, that two runs do not share."""
    ones, others = _metrics(original), _metrics(repeated)
    for key in sorted(ones.keys() | others.keys(), key=lambda key: (key[1:], key[0])):
        one, other = ones.get(key), others.get(key)
        if one != other and not (one != one and other != other):  # two NaNs are alike
            return Parting(key[1], key[2], key[0], one, other)
    return None


def _metrics(folder: Path) -> dict[tuple[str, int, int], float]:
    rows = (row for row in read_metrics(folder) if not TIMES.search(row.name))
    return {(row.name, row.epoch, row.step): row.value for row in rows}


def _same_weights(original: Path, repeated: Path) -> bool:
    """Compare the tensors of the best checkpoints; PyTorch's file is a zip of their bytes."""
    paths = [folder / "checkpoints" / "best.ckpt" for folder in (original, repeated)]
    if not all(path.is_file() for path in paths):
        return not any(path.is_file() for path in paths)
    try:
        with zipfile.ZipFile(paths[0]) as one, zipfile.ZipFile(paths[1]) as other:
            names, others = ([each for each in file.namelist() if "/data/" in each] for file in (one, other))
            return names == others and all(one.read(name) == other.read(name) for name in names)
    except zipfile.BadZipFile:  # a damaged one is like none
        return False


def made_differently(original: Path, repeated: Path) -> dict[str, str]:
    """Return which of code, packages, data, seed, threads, Python and hardware differ, and how."""
    one, other = (environment_of(starts(folder)[-1]) for folder in (original, repeated))
    found = {
        "code": _code(original, repeated),
        "packages": _pairs(read_lock(original / LOCK), read_lock(repeated / LOCK)),
        "data": _data(original, repeated),
    }
    for what in ("seed", "threads", "python", *HARDWARE):
        if what in one and what in other and one[what] != other[what]:
            found[what] = f"{one[what]} and {other[what]}"
    return {what: how for what, how in found.items() if how}


def _data(original: Path, repeated: Path) -> str:
    """Compare what both tell of their data: a later version may tell more."""
    one, other = (read_json(folder / "data.json") or {} for folder in (original, repeated))
    both = [key for key in one if key in other]
    return _pairs({key: one[key] for key in both}, {key: other[key] for key in both})


def _code(original: Path, repeated: Path) -> str:
    archives = original / CODE, repeated / CODE
    if not all(path.is_file() for path in archives):
        return ""
    return _some(differing_files(*archives))


def _pairs(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    differing = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return _some([f"{key} {short(one.get(key))} and {short(other.get(key))}" for key in differing])


def short(value: Any) -> str:
    """Return a value as a word or two; of a mapping, such as a split of the data, the start of its hash."""
    if value is None:
        return "none"
    if isinstance(value, str | int | float):
        return str(value)
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _some(items: list[str]) -> str:
    return ", ".join(items[:NAMED]) + (f" and {len(items) - NAMED} more" if len(items) > NAMED else "")

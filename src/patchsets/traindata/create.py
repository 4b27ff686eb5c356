"""A new folder that appears whole, or not at all.

create_traindata.py from top to bottom: look at all images, write them, say what there is.
"""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from patchsets.data.image_files import as_one_mode, write_image
from patchsets.data.layout import GOOD, Row, as_mask, sha256_of, write_manifest
from patchsets.traindata.check import TrivialGuard, check
from patchsets.traindata.cutting import Cut, cut, synthesize
from patchsets.traindata.inspection import Plan, listed, make_plan
from patchsets.traindata.settings import Words
from patchsets.traindata.sources import Source
from workbench.common.errors import ConfigError, DataError
from workbench.common.files import write_json
from workbench.portable.pixels import decode, shown, sides


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a hidden empty folder beside; once it is filled it gets its name.

    What a killed process left there is removed. Raises ConfigError where the name is taken, or another
    process is at it, DataError where it cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"output: {shown(path)} is there already; name a new folder, or remove it")
    hidden = path.with_name(f".{path.name}.new")
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        with _held(hidden, path):
            _empty(hidden)
            try:
                yield hidden
                hidden.rename(path)
            except BaseException:
                shutil.rmtree(hidden, ignore_errors=True)
                raise
    except OSError as error:
        raise DataError(f"output: {shown(path)} cannot be written ({error.strerror})") from error


@contextmanager
def _held(folder: Path, wanted: Path) -> Iterator[None]:
    """Hold a folder for this process; the kernel lets go of it however the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"output: another process is making {shown(wanted)}") from None
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


VERSION = 2  # to be raised when other images are made of the same parameters


def create_or_check(words: Words) -> int:
    """Do what the words say and return the exit code."""
    return check(Path(words.check).expanduser()) if words.check else create(words)


def create(words: Words) -> int:
    """Make the data set; raise UserError, with nothing written, where that cannot be."""
    words.refuse_mistakes()
    output = Path(str(words.output)).expanduser()
    with new_folder(output) as folder:
        plan = make_plan(words)
        writer = _Writer(folder, words)
        for source, split in tqdm(
            list(zip(plan.sources, plan.split, strict=True)), unit="image", disable=None
        ):
            writer.write(source, split)
        if words.synthesize:
            writer.write_synthetic()
        write_manifest(folder, writer.rows)
        write_json(folder / "manifest.json", {"version": VERSION, "parameters": words.parameters()})
    _tell(output, plan, writer)
    return 0


class _Writer:
    def __init__(self, folder: Path, words: Words) -> None:
        self.folder, self.words = folder, words
        self.rows: list[Row] = []
        self.guard = TrivialGuard()
        self.tiny: list[str] = []  # files whose defect fills no pixel by half

    def write(self, source: Source, split: str) -> None:
        """Write what is made of one raw image: each part of it, and only a tile beside the defect is good."""
        mask = None if source.mask is None else as_mask(decode(source.mask))
        if mask is not None and not mask.any():
            mask = None  # it says nothing of where the defect is
        for part in cut(decode(source.path), mask, self.words):
            is_beside = part.mask is not None and not part.mask.any()
            self._write_part(source, split, GOOD if is_beside else source.kind, part)
            if part.is_tiny:
                self.tiny.append(f"{source.name}{part.suffix}")

    def _write_part(self, source: Source, split: str, kind: str, part: Cut) -> None:
        stem = f"{source.stem}{part.suffix}"
        if kind != source.kind:
            stem = f"{source.kind}_{stem}"
        box = " ".join(map(str, part.box))
        self._keep(
            split,
            kind,
            stem,
            part.pixels,
            part.mask if kind != GOOD else None,
            source.name,
            source.group,
            box,
        )

    def write_synthetic(self) -> None:
        """Paint defects on the good test images."""
        rows = [row for row in self.rows if row.split == "test"]
        good = as_one_mode([decode(self.folder / row.path) for row in rows])
        for made in synthesize(good, self.words.per_kind, self.words.seed):
            twin = rows[made.twin]
            stem = f"{made.number:03}"
            self._keep(
                "test", made.kind, stem, made.pixels, made.mask, twin.source, twin.group, twin.box, twin.path
            )

    def _keep(
        self, split: str, kind: str, stem: str, pixels: np.ndarray, mask: np.ndarray | None,
        source: str, group: str, box: str, twin: str = "",
    ) -> None:  # fmt: skip
        path, mask_path = f"{split}/{kind}/{stem}.png", ""
        write_image(self.folder / path, pixels)
        if mask is not None:
            mask_path = f"ground_truth/{kind}/{stem}_mask.png"
            write_image(self.folder / mask_path, mask.astype(np.uint8) * 255)
        if split == "test":
            self.guard.see(pixels, kind != GOOD)
        digest = sha256_of(self.folder / path)
        self.rows.append(Row(path, split, kind, mask_path, source, group, box, twin, digest))


def _tell(output: Path, plan: Plan, writer: _Writer) -> None:
    for remark in plan.remarks:
        print(f"note: {remark}")
    if writer.tiny:
        height, width = sides(writer.words.image_size())
        size = f"{width}x{height}"
        print(
            f"note: {len(writer.tiny)} defects fill no pixel by half at {size}; "
            f"of each mask the fullest pixel stays: {listed(writer.tiny)}"
        )
    if verdict := writer.guard.verdict():
        print(f"note: {verdict}")
    kinds = Counter(source.kind for source in plan.sources)
    taken = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    made = f"{len(writer.rows)} images of {len(plan.sources)} ({taken})"
    print(f"{shown(output)}: {made}: {counted(writer.rows)}")
    print(f"train on it: python src/train.py task=autoencoder data=anomaly data.root={shown(output)}")


def counted(rows: Sequence[Row]) -> str:
    """Return how many images there are, as "train/good 80, test/good 20, test/scratch 5"."""
    counts = Counter(f"{row.split}/{row.kind}" for row in rows)
    return ", ".join(f"{place} {count}" for place, count in counts.items())

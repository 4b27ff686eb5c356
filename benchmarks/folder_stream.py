"""A folder of 20,000 photographs beside a plain loader: memory, start, an epoch, and the disk cache.

python benchmarks/folder_stream.py [folder]        half an hour, 2 GB of disk; leave the machine alone
The folder keeps the photographs for another time; else they are made in a temporary one. Of two cores that
others used too: 1.54 GiB, 1.04 beside 2,000; start 1.40 beside digits; an epoch 1.00; the disk cache 4.3.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import print_table
from torch.utils.data import DataLoader, Dataset

from patchsets.data.folder import Folder

ROOT = Path(__file__).resolve().parents[1]
FEW, MANY = 2_000, 20_000
CLASSES = 4
WORKERS, BATCH = 2, 32
REPEATS = 3


def make(folder: Path, count: int) -> Path:
    """Write photographs of 640x480 pixels, unless they are there: soft shapes under grain, 50 kB each."""
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(partial(_write, folder), range(count), chunksize=100))
    return folder


def _write(folder: Path, number: int) -> None:
    path = folder / f"class_{number % CLASSES}" / f"{number:05}.jpg"
    if path.exists():
        return
    random = np.random.default_rng(number)
    soft = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((640, 480), 3)
    grain = np.roll(GRAIN, random.integers(0, 480, 2), axis=(0, 1))
    pixels = np.clip(np.asarray(soft, np.int16) + grain, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=85)


GRAIN = np.random.default_rng(0).normal(0, 6, (480, 640, 1)).astype(np.int16)


def command(outputs: str, *words: str) -> list[str]:
    """Return the command of a training of one epoch."""
    quick = ["hparams.max_epochs=1", "save_model=false", "loggers=csv", f"outputs={outputs}"]
    return [sys.executable, str(ROOT / "src/train.py"), *quick, *words]


def folder_words(folder: Path) -> list[str]:
    """Return the words that train a small network on a folder."""
    return ["data=folder", f"data.root={folder}", "model=deep_sets", f"hparams.batch_size={BATCH}"]


def peak(words: list[str], environment: dict[str, str]) -> float:
    """Return the largest sum of resident memory of a command and all that it started, in GiB."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    largest = 0
    while process.poll() is None:
        largest = max(largest, _resident(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    return largest / 2**30


def _resident(session: int) -> int:
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


def first_step(words: list[str], environment: dict[str, str]) -> float:
    """Return the seconds from a command to its first training step."""
    leave = ["trusted_targets=[first_step.]", "+trainer.callbacks=[{_target_: first_step.LeaveAfterOneStep}]"]
    begun = time.perf_counter()
    subprocess.run([*words, *leave], env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


class Plain(Dataset[Any]):
    """What one writes first: a file, opened and decoded when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*/*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.paths[row]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def plain_epoch(folder: Path) -> float:
    """Return the images per second of a plain loader."""
    loader = DataLoader(Plain(folder), BATCH, shuffle=True, num_workers=WORKERS)
    return _rate(loader, lambda batch: len(batch))


def our_epoch(folder: Path, **words: Any) -> float:
    """Return the images per second of the training images, cut into patches."""
    data = Folder(BATCH, 0, str(folder), patches=64, num_workers=WORKERS, **words)
    data.setup()
    return _rate(data.train_dataloader(), lambda raw: len(data.make_batch(raw, training=True).label))


def _rate(loader: Any, count: Callable[[Any], int]) -> float:
    begun = time.perf_counter()
    images = sum(count(batch) for batch in loader)
    return images / (time.perf_counter() - begun)


def measure(folder: Path, few: Path, outputs: str) -> list[list[str]]:
    """Return one row for each number: what it is, what was measured, what is wanted."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "XDG_CACHE_HOME": f"{outputs}/cache"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["XDG_CACHE_HOME"] = environment["XDG_CACHE_HOME"]
    small, large = (peak(command(outputs, *folder_words(root)), environment) for root in (few, folder))
    starts: dict[str, list[float]] = {"folder": [], "digits": []}
    for _ in range(REPEATS):
        starts["folder"].append(first_step(command(outputs, *folder_words(folder)), environment))
        starts["digits"].append(first_step(command(outputs, "data=digits", "model=deep_sets"), environment))
    start, digits = (statistics.median(starts[name]) for name in ("folder", "digits"))
    rates: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for name, run in {
            "plain": lambda: plain_epoch(few),
            "none": lambda: our_epoch(few, cache="none"),
            "resized": lambda: our_epoch(few, cache="none", resize=160),
            "disk": lambda: our_epoch(few, cache="disk", resize=160),
        }.items():
            rates.setdefault(name, []).append(run())
    plain, ours, resized, disk = (
        statistics.median(rates[name]) for name in ("plain", "none", "resized", "disk")
    )
    return [
        [f"memory of all processes, {MANY:,} images", f"{large:.2f} GiB", "at most 2"],
        [f"the same beside {FEW:,} images ({small:.2f} GiB)", f"{large / small:.3f}", "0.9 to 1.1"],
        [
            f"second start to first step ({start:.1f} s), beside digits",
            f"{start / digits:.2f}",
            "at most 1.5",
        ],
        [f"an epoch ({ours:.0f} images/s), beside a plain loader", f"{ours / plain:.2f}", "at least 0.95"],
        [
            f"resize=160: disk cache ({disk:.0f} images/s), beside decoding",
            f"{disk / resized:.1f}",
            "at least 3",
        ],
    ]


def main() -> None:
    """Make the photographs, measure, print."""
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        few, many = make(where / "few", FEW), make(where / "many", MANY)
        rows = measure(many, few, temporary)
    print_table("A folder of photographs, 640x480", ["what", "measured", "wanted"], rows)


if __name__ == "__main__":
    main()

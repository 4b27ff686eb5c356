"""Bags of features per second, and the memory that they take: large bags from files, many small ones.

python benchmarks/features.py        about three minutes; wall time, medians of interleaved runs

1,000 bags of 10,000 x 1,024 (sparse files, 41 GB to a reader) in batches of 1 and 4, by two workers, through
one step of attention pooling each; and 2,000 bags of 50 x 256 in batches of 1 and 16. On two cores that
others kept busy: 0.93 and 5.8 times as many bags a second in the larger batches, at most 1.27 GiB.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from timing import print_table

from patchsets.data.features import Features
from patchsets.model.attention_pool import AttentionPool
from workbench.common.process import begin_process

# bags, rows, width, workers, batch sizes, bags of a run
LARGE = (1000, 10_000, 1024, 2, (1, 4), 48)
SMALL = (2000, 50, 256, 0, (1, 16), 1280)
REPEATS = 3


def main() -> None:
    """Measure both kinds of bags and print them."""
    begin_process()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder, peak_of_memory() as peak:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        for bags, length, width, workers, sizes, count in (LARGE, SMALL):
            root = write_bags(Path(folder) / f"{length}", bags, length, width)
            trained = {size: Training(root, size, workers) for size in sizes}
            speeds = {size: [] for size in sizes}
            for _ in range(REPEATS):
                for size, training in trained.items():
                    speeds[size].append(count / training.seconds(count))
            one, several = (statistics.median(speeds[size]) for size in sizes)
            rows.append(
                [f"{bags} of {length} x {width}", f"{one:.1f}", f"{several:.1f}", f"{several / one:.2f}"]
            )
            rows[-1].append(f"{peak[0] / 2**30:.2f}")
            peak[0] = 0
            for training in trained.values():
                training.close()
    header = ["bags", "batch of 1", f"of {LARGE[4][1]} or {SMALL[4][1]}", "ratio", "peak, GiB"]
    print_table("Bags learned from per second; anonymous and shared memory of all processes", header, rows)


def write_bags(root: Path, bags: int, length: int, width: int) -> Path:
    """Write bags as sparse `.npy` files, whose numbers are 0 and take no disk, and their table."""
    root.mkdir()
    for bag in range(bags):
        np.lib.format.open_memmap(root / f"{bag}.npy", "w+", np.float32, (length, width))
    lines = ["path,label", *(f"{bag},{bag % 2}" for bag in range(bags))]
    (root / "bags.csv").write_text("\n".join(lines))
    return root


class Training:
    """Attention pooling over bags, one optimizer step for each batch, epoch after epoch."""

    def __init__(self, root: Path, batch_size: int, workers: int) -> None:
        self.data = Features(batch_size, 0, str(root), num_workers=workers)
        self.data.setup()
        self.network = AttentionPool(self.data.num_features, 2, width=128, depth=1)
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        self.loader = self.data.train_dataloader()

    def seconds(self, bags: int) -> float:
        """Return how long so many bags take, after two batches, in which workers start."""
        batches = iter(self.loader)
        steps = bags // self.data.batch_size
        for raw in islice(batches, 2):
            self._step(raw)
        begun = time.perf_counter()
        for raw in islice(batches, steps):
            self._step(raw)
        return time.perf_counter() - begun

    def _step(self, raw: object) -> None:
        batch = self.data.make_batch(raw, training=True)
        loss = torch.nn.functional.cross_entropy(self.network(batch.sets), batch.label)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def close(self) -> None:
        """Let the workers go."""
        self.loader = None


@contextmanager
def peak_of_memory() -> Iterator[list[int]]:
    """Give the most bytes, anonymous and shared, that this process and its children took together."""
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            peak[0] = max(peak[0], sum(map(memory_of, processes())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def processes() -> list[int]:
    """Return this process and all below it."""
    found, new = [], [os.getpid()]
    while new:
        found += new
        lists = [
            path.read_text().split() for pid in new for path in Path(f"/proc/{pid}/task").glob("*/children")
        ]
        new = [int(pid) for each in lists for pid in each]
    return found


def memory_of(pid: int) -> int:
    """Return the proportional share of anonymous and of shared memory of a process, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))


if __name__ == "__main__":
    main()

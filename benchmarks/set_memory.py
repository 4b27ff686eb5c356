"""Memory and time of every set module on heavy-tailed sets, on each path of attention.

python benchmarks/set_memory.py        about three minutes

One bag of 20,000 elements and 31 of 50, 128 features, forward and backward on one thread: 21,550 elements,
which padding would turn into 640,000 rows. Each case is a process of its own; MB is the peak of its resident
memory less what it held before.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from unittest.mock import patch

import torch
from timing import print_table
from torch import Tensor, nn

from patchsets.set_module import (
    ISAB,
    PMA,
    SAB,
    AttentionPool,
    FSPool,
    Pool,
    SetNorm,
    Sets,
    SlotAttention,
    TopK,
    ragged_attention,
)

DIM = 128
LENGTHS = [20_000, *[50] * 31]
MODULES: dict[str, Callable[[], nn.Module]] = {
    "Pool(mean, max)": partial(Pool, "mean", "max"),
    "TopK(10)": partial(TopK, 10),
    "AttentionPool": partial(AttentionPool, DIM),
    "FSPool": partial(FSPool, DIM),
    "SlotAttention": partial(SlotAttention, DIM),
    "SetNorm": partial(SetNorm, DIM),
    "PMA": partial(PMA, DIM),
    "ISAB": partial(ISAB, DIM),
    "SAB": partial(SAB, DIM),
}
WITH_ATTENTION = ("AttentionPool", "SlotAttention", "PMA", "ISAB", "SAB")
PATHS = ("loop", "buckets")


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


class Peak:
    """The largest resident memory while it is entered, looked at every millisecond."""

    def __enter__(self) -> "Peak":
        self.before = self.most = resident()
        self.over = Event()
        self.thread = Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.001):
            self.most = max(self.most, resident())

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def step(module: nn.Module, sets: Sets, attention: bool) -> None:
    """Go forward, backward, and keep the attention where it is asked for."""
    output = module(sets, return_attention=True)[0] if attention else module(sets)
    values: Tensor = output.values if isinstance(output, Sets) else output
    values.square().sum().backward()


def case(name: str, path: str, attention: bool) -> None:
    """Print the megabytes that one case adds, and its seconds."""
    torch.set_num_threads(1)
    module = MODULES[name]()
    step(module, Sets(torch.randn(64, DIM, requires_grad=True), torch.tensor([60, 4])), attention)  # warm up
    sets = Sets(torch.randn(sum(LENGTHS), DIM, requires_grad=True), torch.tensor(LENGTHS))
    above = 0 if path == "loop" else inf
    began = perf_counter()
    with patch.multiple(ragged_attention, LOOP_ABOVE=above, LOOP_ABOVE_FOR_POINTS=above), Peak() as peak:
        step(module, sets, attention)
    print(f"{(peak.most - peak.before) / 1e6:.0f} {perf_counter() - began:.2f}")


def main() -> None:
    """Print the table."""
    rows = []
    for name in MODULES:
        row = [name]
        for attention in (False, True):
            for path in PATHS:
                if attention and name not in WITH_ATTENTION:
                    row += ["", ""]
                    continue
                words = [sys.executable, __file__, name, path, str(attention)]
                row += subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        rows.append(row)
    header = [
        f"{path}{kind} {unit}" for kind in ("", " + attention") for path in PATHS for unit in ("MB", "s")
    ]
    print_table("One bag of 20,000 and 31 of 50", ["module", *header], rows)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        case(sys.argv[1], sys.argv[2], sys.argv[3] == "True")
    else:
        main()

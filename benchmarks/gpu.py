"""What a GPU gains from each of its means, each beside the same work without it: `make bench-gpu`.

python benchmarks/gpu.py [cuda|cpu]        a minute; without a GPU it says what it skipped

Seconds are those of the whole step with the GPU waited for, variants interleaved, medians; ratios are
without / with. `cpu` only tries the script.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from timing import print_table
from torch import Tensor, nn

from patchsets.model.cnn import Cnn
from patchsets.set_module import PMA, SAB, Sets
from workbench.train.loading import BatchedRows, loader

MEANS = "torch.compile, channels-last, bf16, variable-length attention, pinned transfers"
REPEATS = 20
Step = Callable[[], object]


def wait(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def race(device: str, steps: dict[str, Step]) -> dict[str, float]:
    """Return the median seconds of each step, after three of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(REPEATS + 3):
        for name, step in steps.items():
            wait(device)
            begun = time.perf_counter()
            step()
            wait(device)
            if repeat >= 3:
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


def learn(module: nn.Module, given: Tensor | Sets, precision: torch.dtype = torch.float32) -> Step:
    """Return a step forward and backward through a module."""
    kind = (given.values if isinstance(given, Sets) else given).device.type

    def step() -> None:
        with torch.autocast(kind, precision, enabled=precision != torch.float32):
            output = module(given)
        values: Tensor = output.values if isinstance(output, Sets) else output
        values.float().square().mean().backward()

    return step


def images(device: str) -> dict[str, tuple[Step, Step]]:
    """Return pairs of a step without and with a means, of a network for whole images."""
    batch = torch.rand(64, 3, 128, 128, device=device)
    last = batch.contiguous(memory_format=torch.channels_last)
    plain, compiled = Cnn(3, 10, 32, 3).to(device), Cnn(3, 10, 32, 3).to(device)
    compiled.compile()
    in_order = Cnn(3, 10, 32, 3).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return {
        "torch.compile": (learn(plain, batch), learn(compiled, batch)),
        "channels-last": (learn(plain, batch), learn(in_order, last)),
        "bf16": (learn(plain, batch), learn(plain, batch, torch.bfloat16)),
    }


def attention(device: str) -> dict[str, tuple[Step, Step]]:
    """Return the same of attention over heavy-tailed sets: in buckets (float32), and in half precision."""
    lengths = torch.tensor([4000, *[50] * 31])
    sets = Sets(torch.randn(int(lengths.sum()), 128, device=device), lengths)
    return {
        f"{type(module).__name__}, variable-length": (
            learn(module, sets),
            learn(module, sets, torch.bfloat16),
        )
        for module in (SAB(128).to(device), PMA(128).to(device))
    }


def transfers(device: str) -> dict[str, tuple[Step, Step]]:
    """Return a bare copy of unpinned batches to the device, and what a loader of ours gives."""
    rows = torch.rand(512, 3, 128, 128)
    ours = loader(BatchedRows(len(rows), lambda which: rows[which]), 64, 2, None)
    bare = [batch.clone() for batch in rows.split(64)]
    return {
        "pinned transfers": (
            lambda: [batch.to(device) for batch in bare],
            lambda: [batch.to(device, non_blocking=True) for batch in ours],
        )
    }


def main() -> None:
    """Print the table, or what was skipped."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print(f"torch sees no GPU; skipped: {MEANS}")
        return
    rows = []
    for means in (images, attention, transfers):
        for name, (without, with_it) in means(device).items():
            seconds = race(device, {"without": without, "with": with_it})
            ratio = seconds["without"] / seconds["with"]
            rows.append(
                [name, f"{seconds['without'] * 1e3:.2f}", f"{seconds['with'] * 1e3:.2f}", f"{ratio:.2f}"]
            )
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU, which only tries the script"
    print_table(f"On {where}", ["means", "without ms", "with ms", "ratio"], rows)


if __name__ == "__main__":
    main()

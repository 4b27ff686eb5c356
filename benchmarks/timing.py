"""Fair times on a shared machine: CPU time of this process, variants interleaved, medians."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def compare(variants: Mapping[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Return each variant's median seconds of process CPU time, after one run of each to warm up."""
    for run in variants.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in variants}
    gc.disable()
    for _ in range(repeats):
        for name, run in variants.items():
            begun = time.process_time()
            run()
            times[name].append(time.process_time() - begun)
    gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a title and columns as wide as their widest cell; the first is aligned to the left."""
    widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]
    print(f"\n{title}")
    for row in [header, *rows]:
        first, *others = (str(cell) for cell in row)
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        print("  ".join(cells))

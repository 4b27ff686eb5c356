"""metrics.csv of a run folder: one line per value, appended in one write, readable while it grows."""

import csv
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.common.errors import nearest

FILE_NAME = "metrics.csv"
HEADER = "time,axis,epoch,step,name,value\n"
BLOCK_BYTES = 1 << 20  # what a reader takes at a time: about 20,000 values


# What the names of metrics end in, where that tells which is better.
LOWER_IS_BETTER = ("loss", "error")
HIGHER_IS_BETTER = (
    "accuracy", "auroc", "auprc", "f1", "precision", "recall", "kappa", "r2", "pearson", "spearman",
)  # fmt: skip


def lower_is_better(name: str) -> bool:
    """Tell by the name of a metric whether a lower value is the better one."""
    return _stem(name).endswith(LOWER_IS_BETTER)


def better(name: str) -> str | None:
    """Return min or max, whichever is better of a metric, by its name; None where that does not tell."""
    if lower_is_better(name):
        return "min"
    return "max" if _stem(name).endswith(HIGHER_IS_BETTER) else None


def like(name: str) -> str:
    """Return ": did you mean ...?" with the known metric whose name is closest, or nothing."""
    return nearest(_stem(name), [*LOWER_IS_BETTER, *HIGHER_IS_BETTER], f"{name.partition('/')[0]}/")


def _stem(name: str) -> str:
    """Return `recall` of `val/recall_per_class/cat`."""
    split, _, metric = name.partition("/")
    return (metric or split).partition("/")[0].partition("_per_")[0]


def goal_of(task: Any, monitor: str | None, mode: str | None) -> tuple[str, str]:
    """Return what chooses the best epoch, and min or max: what is configured, else the own of a task's class.

    Of a configured metric its name says which is better, where `mode` does not. `task` may be None.
    """
    own, own_mode = getattr(task, "monitor", "val/loss"), getattr(task, "monitor_mode", "min")
    if monitor is None or monitor == own:
        return own, mode or own_mode
    return monitor, mode or better(monitor) or own_mode


class Row(NamedTuple):
    """One value: Unix time in seconds, the axis it is drawn against, and where on both axes it belongs."""

    time: float
    axis: str
    epoch: int
    step: int
    name: str
    value: float

    @property
    def x(self) -> int:
        """The position on the row's own axis."""
        return self.step if self.axis == "step" else self.epoch


def read_metrics(folder: Path, offset: int = 0) -> list[Row]:
    """Read the values of a run folder from a byte offset on, in the order they were written."""
    rows: list[Row] = []
    while True:
        block, end = read_rows(folder / FILE_NAME, offset)
        if end == offset:
            return rows
        rows += block
        offset = end


def read_rows(path: Path, offset: int) -> tuple[list[Row], int]:
    """Read the whole lines of one block from a byte offset on; return them and the offset after them.

    There are none where there is no file yet.
    """
    if not path.is_file():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(BLOCK_BYTES)
    whole = block[: block.rfind(b"\n") + 1]
    lines = whole.decode(errors="replace").split("\n")
    return [row for line in lines if (row := _row(line))], offset + len(whole)


def _row(line: str) -> Row | None:
    try:
        fields = next(csv.reader([line])) if '"' in line else line.split(",")
        when, axis, epoch, step, name, value = fields
        return Row(float(when), axis, int(epoch), int(step), name, float(value))
    except (ValueError, csv.Error):  # the header, or a line damaged by a crash of the machine
        return None


class MetricsFile:
    """Appends values to metrics.csv; what a resumed run computes a second time, to the same, is written once.

    Where it comes out otherwise, by other words or code, both values stay, and the last one counts.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        weakref.finalize(self, os.close, self._descriptor)
        self._quoted: dict[str, str] = {}
        _cut_torn_line(self._descriptor)
        self._present = {(row.axis, row.x, row.name): repr(row.value) for row in read_metrics(folder)}
        if os.fstat(self._descriptor).st_size == 0:
            self._write(HEADER)

    def append(self, axis: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Write one line per value, all in one write, so that killing the process loses none of them.

        Raises OSError where the disk is full.
        """
        x = step if axis == "step" else epoch
        start = f"{time.time():.3f},{axis},{epoch},{step},"
        lines = [
            f"{start}{self._quote(name)},{float(value)!r}\n"
            for name, value in values.items()
            if self._present.get((axis, x, name)) != repr(float(value))
        ]
        if lines:
            self._write("".join(lines))

    def _write(self, text: str) -> None:
        rest = text.encode()
        while rest:  # a disk that is almost full takes a part, and says so at the next attempt only
            rest = rest[os.write(self._descriptor, rest) :]

    def _quote(self, name: str) -> str:
        if name not in self._quoted:
            plain = " ".join(name.splitlines()).replace('"', '""')
            self._quoted[name] = f'"{plain}"' if "," in plain or '"' in plain else plain
        return self._quoted[name]


def _cut_torn_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    tail_start = max(0, size - BLOCK_BYTES)
    tail = os.pread(descriptor, BLOCK_BYTES, tail_start)
    os.ftruncate(descriptor, tail_start + tail.rfind(b"\n") + 1)

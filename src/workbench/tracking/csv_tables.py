"""Tables for a spreadsheet in `<run folder>/csv/`: one row per step or epoch, one column per value."""

import csv
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.run.metrics_file import Row
from workbench.tracking.tracker import RunDescription

RARELY = 50  # a table is written again after this many times as long as writing it took


class CsvTracker:
    """Writes steps.csv, epochs.csv and hparams.csv; whole tables, since a new value adds a column."""

    name = "csv"

    def start(self, run: RunDescription, key: str) -> str:
        """Begin empty tables; write the hyper-parameters and tags."""
        self._folder = run.folder / "csv"
        self._folder.mkdir(exist_ok=True)
        self._tables: dict[str, Table] = {"step": defaultdict(dict), "epoch": defaultdict(dict)}
        self._not_before = 0.0
        tags = {f"tags.{name}": text for name, text in run.tags.items()}
        _write(self._folder / "hparams.csv", [("name", "value"), *run.hparams.items(), *tags.items()])
        return ""

    def scalars(self, rows: list[Row]) -> None:
        """Take values into the tables, and write these where that is cheap by now."""
        for row in rows:
            self._tables[row.axis][row.x][row.name] = row.value
        if time.monotonic() > self._not_before:
            self._write_tables()

    def figure(self, name: str, path: Path) -> None:
        """Do nothing: figures lie beside the tables already."""

    def finish(self, status: str) -> None:
        """Write the tables as they ended."""
        self._write_tables()

    def _write_tables(self) -> None:
        begun = time.monotonic()
        for axis, table in self._tables.items():
            names = list(dict.fromkeys(name for values in table.values() for name in values))
            rows = ([x, *(values.get(name, "") for name in names)] for x, values in sorted(table.items()))
            _write(self._folder / f"{axis}s.csv", [[axis, *names], *rows])
        ended = time.monotonic()
        self._not_before = ended + RARELY * (ended - begun)


Table = defaultdict[int, dict[str, float]]


def _write(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    temporary.replace(path)

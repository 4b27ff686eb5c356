"""One CSV of examples: which file, which label, and where they are known split, group and fold.

path,label,split,group,fold
"""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from patchsets.data.class_folders import SPLITS as SPLIT_NAMES
from patchsets.data.splitting import UNKNOWN, Examples, lacking, torn
from workbench.common.errors import ConfigError, DataError
from workbench.portable.pixels import shown

Labels = Literal["class", "several", "numbers"]
PATHS = ("path", "file", "slide_id", "bag", "bag_name")  # the first that is there says which file
GROUPS = ("group", "case_id", "patient")


@dataclass(frozen=True)
class Wanted:
    """What is read of a table: the kind of labels, the columns they stand in, and what a group is.

    Without `targets` it is the column `label`; several labels stand there with ";" between them, or each in a
    column of its own as 0 or 1. `group` is a column, or a regular expression that finds it in the path.
    """

    labels: Labels = "class"
    targets: Sequence[str] = ()
    group: str | None = None


@dataclass
class Rows:
    """The cells of a table by column, the line each row ends on, and what is wrong."""

    cells: dict[str, list[str]]
    line: list[int]
    wrong: list[str] = field(default_factory=list)

    def check(self, column: str, holds: Callable[[str], bool], what: str) -> None:
        """Note every cell of a column for which something does not hold."""
        for line, cell in zip(self.line, self.cells[column], strict=True):
            if not holds(cell):
                self.wrong.append(f"line {line}: {column} is {cell!r}, {what}")


@dataclass(frozen=True)
class ExampleTable:
    """The examples of a table, the file of each that has one, names of numbers to regress, mistakes."""

    examples: Examples
    paths: list[Path]
    targets: list[str]
    wrong: list[str]


def read_table(rows: Rows, wanted: Wanted, find: Callable[[str], Path | None]) -> ExampleTable:
    """Return what the rows of a table say; `find` gives the file that a path names, None where there is none.

    Raises ConfigError for a column that is not there; mistakes in rows are in `wrong`, all of them.
    """
    column = path_column(rows)
    names = rows.cells[column]
    targets = list(wanted.targets) or ["label"]
    if absent := [target for target in targets if target not in rows.cells]:
        raise ConfigError(
            f"data.table: no column {', '.join(absent)} in {', '.join(rows.cells)}; "
            "name the column of labels by data.targets"
        )
    found = _find(rows, column, find)
    label, classes = _labels(rows, wanted.labels, targets)
    examples = Examples(names, label, classes, *_known(rows, wanted.group, names))
    rows.wrong += [f"group {each} is in two splits" for each in torn(examples.group, examples.split)]
    rows.wrong += [f"group {each} is in two folds" for each in torn(examples.group, examples.fold)]
    if examples.fold is not None and UNKNOWN not in examples.fold and wanted.labels == "class":
        folds = np.array(examples.fold)
        parts = {f"fold {one}": np.flatnonzero(folds == one) for one in np.unique(folds)}
        rows.wrong += lacking(parts, examples)
    there = [path for path in found if path is not None]
    return ExampleTable(examples, there, targets if wanted.labels == "numbers" else [], rows.wrong)


def groups_in(names: Sequence[str], pattern: str, also: str = "") -> list[str]:
    """Return the group that a regular expression finds in each path: its first group, or all that matches."""
    try:
        found = [re.search(pattern, name) for name in names]
    except re.error as error:
        raise ConfigError(f"data.group: {pattern} is no regular expression: {error}{also}") from error
    if without := [name for name, match in zip(names, found, strict=True) if match is None]:
        named = ", ".join(without[:10]) + (f" and {len(without) - 10} more" if len(without) > 10 else "")
        raise ConfigError(f"data.group: {pattern} is not found in {named}{also}")
    return [match[1] if match.re.groups else match[0] for match in found if match]


def find_table(named: str, root: Path) -> Path:
    """Return the file that a table is called: as it is named, or below the root of the data."""
    near = Path(named).expanduser()
    return near if near.is_file() else root / named


def read_rows(file: Path) -> Rows:
    """Read a CSV with commas, semicolons or tabs. Raises DataError where it cannot be read, or is empty."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        comma = max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
        header = [name.strip() for name in next(lines, [])]
        table = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(cells)]
    except UnicodeDecodeError as error:
        raise DataError(f"data.table: {shown(file)} is not in UTF-8; save it as such") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"data.table: {shown(file)} cannot be read: {error}") from error
    if not table:
        raise DataError(f"data.table: {shown(file)} has no rows")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"data.table: {shown(file)} has two columns {', '.join(twice)}")
    whole = [(line, cells) for line, cells in table if len(cells) == len(header)]
    cells_of = {name: [cells[c] for _, cells in whole] for c, name in enumerate(header)}
    ragged = [(line, len(cells)) for line, cells in table if len(cells) != len(header)]
    wrong = [f"line {line} has {count} cells for {len(header)} columns" for line, count in ragged]
    return Rows(cells_of, [line for line, _ in whole], wrong)


def path_column(rows: Rows) -> str:
    """Return the column that says which file. Raises ConfigError where none does."""
    for name in PATHS:
        if name in rows.cells:
            return name
    raise ConfigError(f"data.table: none of {', '.join(PATHS)} among {', '.join(rows.cells)}")


def _find(rows: Rows, column: str, find: Callable[[str], Path | None]) -> list[Path | None]:
    """Return the file of each row; note those that are not there, and those that an earlier row has too."""
    first: dict[Path, int] = {}
    found = [find(cell) if cell else None for cell in rows.cells[column]]
    for line, cell, path in zip(rows.line, rows.cells[column], found, strict=True):
        if path is None:
            rows.wrong.append(
                f"line {line}: there is no file {cell} below data.root"
                if cell
                else f"line {line}: no {column}"
            )
        elif first.setdefault(path, line) != line:
            rows.wrong.append(f"line {line}: {cell} is in line {first[path]} too")
    return found


def _labels(rows: Rows, kind: Labels, targets: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return labels, and the classes they are of: none where they are numbers."""
    if kind == "numbers":
        for target in targets:
            rows.check(target, _is_number, "not a number")
        numbers = np.array(
            [[_number(cell) for cell in rows.cells[target]] for target in targets], np.float32
        ).T
        return (numbers[:, 0] if len(targets) == 1 else numbers), []
    if kind == "several" and len(targets) > 1:
        for target in targets:
            rows.check(target, lambda cell: cell in ("0", "1"), "not 0 or 1")
        return np.array([[cell == "1" for cell in rows.cells[t]] for t in targets], np.float32).T, list(
            targets
        )
    if len(targets) > 1:
        raise ConfigError(f"data.targets: {len(targets)} columns, but a class stands in one (data.labels)")
    if kind == "several":
        named = [
            [name.strip() for name in cell.split(";") if name.strip()] for cell in rows.cells[targets[0]]
        ]
        classes = _sorted({name for names in named for name in names})
        return np.array([[name in names for name in classes] for names in named], np.float32), classes
    cells = rows.cells[targets[0]]
    rows.check(targets[0], _is_class, "not a class")
    classes = _sorted(set(filter(_is_class, cells)))
    place = {name: c for c, name in enumerate(classes)}
    return np.array([place.get(cell, -1) for cell in cells], np.int64), classes


def _known(
    rows: Rows, group: str | None, names: Sequence[str]
) -> tuple[list[str] | None, list[str] | None, list[int] | None]:
    """Return split, group and fold of the rows; None for what the table does not say."""
    split: list[str] | None = None
    fold: list[int] | None = None
    if "split" in rows.cells:
        rows.check("split", lambda cell: cell.lower() in SPLIT_NAMES, "not train, val or test")
        split = [SPLIT_NAMES.get(cell.lower(), "") for cell in rows.cells["split"]]
    if "fold" in rows.cells:
        rows.check("fold", str.isdecimal, "not a number of a fold")
        fold = [int(cell) if cell.isdecimal() else UNKNOWN for cell in rows.cells["fold"]]
    column = group or next((name for name in GROUPS if name in rows.cells), None)
    if column is None:
        return split, None, fold
    if column not in rows.cells:
        return split, groups_in(names, column, f"; nor is it one of {', '.join(rows.cells)}"), fold
    rows.check(column, bool, "not a group")
    return split, rows.cells[column], fold


def _sorted(names: set[str]) -> list[str]:
    """Return classes in order: of numbers by value, of words by letters."""
    return sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)


def _is_class(cell: str) -> bool:
    return cell.lower() not in ("", "nan")


def _is_number(cell: str) -> bool:
    return math.isfinite(_number(cell))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan

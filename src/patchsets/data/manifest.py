"""manifest.csv: where each image of a data set comes from."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from workbench.common.errors import DataError

NAME = "manifest.csv"


@dataclass(frozen=True)
class Row:
    """One image; paths are relative to the data set's folder, with slashes."""

    path: str
    split: str  # train, val or test
    kind: str  # good, or what the defect is
    mask: str  # empty where there is none
    source: str  # the file it was made from
    group: str  # images of one group are never in two splits
    box: str  # left, top, right, bottom in the source
    twin: str  # the good image that differs by the defect alone
    sha256: str  # of the file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, rows: Sequence[Row]) -> None:
    """Write one line for each image, sorted by path."""
    with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: row.path))


def read_groups(folder: Path) -> dict[str, str]:
    """Return the group (else the source) of each image by its path; empty where there is no manifest.

    Raises DataError where the file is another kind of table.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["path"]: row.get("group") or row["source"] for row in rows}
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no column {error} in it; replace or remove it") from error

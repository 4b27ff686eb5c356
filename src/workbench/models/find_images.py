"""Which files are meant: a folder, a pattern, or a list."""

import csv
import glob
from pathlib import Path

from workbench.common.errors import ConfigError, DataError
from workbench.portable.pixels import is_image_name


def find_images(name: str) -> list[Path]:
    """Return the files, each once, in a fixed order: of a folder and all below it, a pattern, or a list.

    Paths in a list may be relative to it. Raises ConfigError where there is no such place, DataError where no
    image is there.
    """
    place = Path(name).expanduser()
    if place.is_dir():
        found = sorted(path for path in place.rglob("*") if is_image_name(path) and path.is_file())
    elif place.suffix in (".txt", ".csv") and place.is_file():
        found = _listed(place)
    elif place.is_file():
        found = [place]
    elif glob.has_magic(name):
        found = sorted(Path(path) for path in glob.iglob(str(place), recursive=True))  # noqa: PTH207  # absolute ones too
        found = [path for path in found if path.is_file()]
    else:
        raise ConfigError(f"input: there is no {name}; give a folder, a pattern, or a .txt or .csv list")
    if not found:
        raise DataError(f"input: no image in {name}")
    return list(dict.fromkeys(found))


def _listed(path: Path) -> list[Path]:
    """Return the paths of a list: each line of a text, or the column `path` (else the first) of a table."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".txt":
        names = [line.strip() for line in text.splitlines()]
    else:
        rows = list(csv.reader(text.splitlines()))
        has_header = bool(rows) and "path" in rows[0]
        column = rows[0].index("path") if has_header else 0
        names = [row[column] for row in rows[has_header:] if len(row) > column]
    return [path.parent / Path(name).expanduser() for name in names if name]

"""Where the files of bags of features lie, in the layouts of those who write them, and what they hold."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from patchsets.data.example_table import ExampleTable, Rows, Wanted, find_table, path_column, read_rows
from patchsets.data.feature_files import (
    SUFFIXES,
    Unfit,
    check_beside,
    check_finite,
    look,
    opened,
    reason,
    shape_of,
)
from workbench.common.errors import ConfigError, DataError
from workbench.common.first_look import look_at
from workbench.portable.pixels import shown

log = logging.getLogger(__name__)

FOLDERS = ("features", "h5_files", "pt_files")  # of torchmil and CLAM; TRIDENT's are features_<encoder>
BESIDE = ("coords", "patch_labels")  # what torchmil keeps in folders of their own


@dataclass(frozen=True)
class Bag:
    """The files of a bag by what they hold, and what the first look at its features told."""

    name: str
    files: Mapping[str, Path]
    seen: Mapping[str, Any]

    def read(self, features: Tensor) -> dict[str, Tensor]:
        """Read its features `[n, D]` into a tensor, and return its other arrays.

        Raises DataError, with file and row, for what cannot be read or holds NaN.
        """
        found: dict[str, Tensor] = {}
        try:
            for path in dict.fromkeys(self.files.values()):
                with opened(path) as arrays:
                    for part in (part for part, file in self.files.items() if file == path):
                        found[part] = (arrays.get(part) or arrays["features"]).read()
            was, now = list(features.shape), list(found["features"].shape)
            if was != now:
                raise Unfit(f"it has changed: its features were {was} and are {now} now")
            features.copy_(found.pop("features"))
            check_finite(features)
        except Exception as error:  # readers raise anything on broken bytes
            raise DataError(f"{self.name}: {reason(error)}") from error
        return found


class FeatureFolder:
    """The files of bags below `root`. Raises ConfigError where it is not said which of its folders."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ConfigError(f"data.root: there is no folder {shown(root)}")
        self.root = root
        self.folder = _features_of(root)

    def find(self, name: str) -> Path | None:
        """Return the file of a bag, named with its ending, without one, or with that of its slide."""
        named = self.folder / name
        if named.suffix.lower() in SUFFIXES and named.is_file():
            return named
        return _with_suffix(named) or _with_suffix(named.with_suffix(""))

    def rows(self, table: str | None, wanted: Wanted) -> Rows:
        """Return the rows of the table; labels that are not in it are read from torchmil's folder of them."""
        file = self._table(table)
        if file is None:
            names = [path.relative_to(self.folder).as_posix() for path in _files(self.folder)]
            rows = Rows({"path": names}, list(range(1, len(names) + 1)))
        else:
            rows = read_rows(file)
        labels = self.root / "labels"
        if "label" not in rows.cells and not wanted.targets and labels.is_dir():
            stems = [(self.find(name) or Path(name)).stem for name in rows.cells[path_column(rows)]]
            rows.cells["label"] = [_label(labels / stem, wanted.labels) for stem in stems]
        return rows

    def _table(self, named: str | None) -> Path | None:
        if named is not None:
            return find_table(named, self.root)
        found = sorted(self.root.glob("*.csv"))
        if len(found) == 1:
            return found[0]
        if found or not (self.root / "labels").is_dir():
            which = ", ".join(path.name for path in found) or "no CSV"
            raise ConfigError(f"data.table: say which CSV lists the bags; {shown(self.root)} holds {which}")
        return None

    def look(self, table: ExampleTable) -> tuple[list[Bag], list[str]]:
        """Look at the files of a table; return its bags, and what is wrong with files."""
        paths = table.paths
        names = [_below(path, self.root) for path in paths]
        seen = look_at("features 1", self.root, paths, look)
        usual = Counter(each["width"] for each in seen if isinstance(each, dict)).most_common(1)
        bags, wrong = [], []
        for name, path, each in zip(names, paths, seen, strict=True):
            if isinstance(each, Exception):
                wrong.append(f"{name}: {reason(each)}")
            elif each["width"] != usual[0][0]:
                wrong.append(f"{name}: its features are {each['width']} wide, those of most {usual[0][0]}")
            else:
                bags.append(Bag(name, dict.fromkeys(each["arrays"], path), each))
        bags, also_wrong = self._with_folders(bags)
        return _with_common(bags), wrong + also_wrong

    def _with_folders(self, bags: list[Bag]) -> tuple[list[Bag], list[str]]:
        """Add what lies in folders of its own; a bag that has no file there lacks it."""
        wrong = []
        for part in BESIDE:
            folder = self.root / part
            found = {bag.name: _with_suffix(folder / Path(bag.name).stem) for bag in bags}
            paths = [path for path in found.values() if path is not None]
            shapes = dict(zip(paths, look_at(f"{part} 1", folder, paths, shape_of), strict=True))
            for n, bag in enumerate(bags):
                path = found[bag.name]
                if path is None:
                    continue
                try:
                    shape = shapes[path]
                    if isinstance(shape, Exception):
                        raise shape
                    check_beside(bag.seen["rows"], part, shape["shape"])
                    bags[n] = replace(bag, files={**bag.files, part: path})
                except Exception as error:
                    wrong.append(f"{_below(path, self.root)}: {reason(error)}")
        return bags, wrong


def _with_common(bags: list[Bag]) -> list[Bag]:
    """Leave out coordinates and labels of patches that only some of the bags have, and say so."""
    common = set(bags[0].files).intersection(*(bag.files for bag in bags)) if bags else set()
    if some := sorted({part for bag in bags for part in bag.files} - common):
        log.warning("data.root: %s are left out: some bags have none", " and ".join(some))
    return [replace(bag, files={part: bag.files[part] for part in sorted(common)}) for bag in bags]


def _features_of(root: Path) -> Path:
    """Return the folder of the files of features: root itself, or one as CLAM, TRIDENT, torchmil call it."""
    if any(path.suffix.lower() in SUFFIXES for path in root.iterdir()):
        return root
    known = [root / name for name in FOLDERS if (root / name).is_dir()]
    encoders = sorted(path for path in root.glob("features_*") if path.is_dir())
    if not known and len(encoders) > 1:
        names = ", ".join(path.name for path in encoders)
        raise ConfigError(
            f"data.root: {shown(root)} holds {names}; name one of these folders, and data.table"
        )
    return next(iter([*known, *encoders]), root)


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if not path.name.startswith(".") and path.is_file())


def _with_suffix(path: Path) -> Path | None:
    """Return the first file that is called so before its ending."""
    files = (path.with_name(path.name + suffix) for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _below(path: Path, root: Path) -> str:
    return shown(path.relative_to(root) if path.is_relative_to(root) else path)


def _label(stem: Path, kind: str) -> str:
    """Return the label in a file of torchmil, as it would stand in a table; nothing where there is none."""
    path = _with_suffix(stem)
    if path is None:
        return ""
    with opened(path) as arrays:
        values = (arrays.get("labels") or arrays["features"]).read().flatten().tolist()
    if kind == "several":
        return ";".join(str(c) for c, value in enumerate(values) if value)
    return f"{values[0]:g}" if len(values) == 1 else ""

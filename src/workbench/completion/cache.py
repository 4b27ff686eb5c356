"""Tables of answers on disk, each with a fingerprint of the files that it was made from.

A table is a text file: its key, the files watched, their fingerprint, then one row per base,
`<base> TAB <kind> TAB <candidate> TAB <candidate> ...`. The kinds:

    plain    the answer                          group     the options of a config group
    path     and files below what was typed      run       and run folders below what was typed
    derived  depends on other values             live      depends on more than files: asked each time
"""

import posix
import sys

VERSION = "1"
KEPT = 60  # tables; one per combination of group choices


class Row:
    """Hydra's answer for one base, and what kind of answer it is."""

    def __init__(self, kind: str, candidates: list[str]) -> None:
        self.kind = kind
        self.candidates = candidates


class Table:
    """The rows of one table file."""

    def __init__(self, rows: dict[str, str]) -> None:
        self._rows = rows

    def row(self, base: str) -> Row:
        """Return the row of a base; a base that has none has no candidates."""
        kind, *candidates = self._rows.get(base, "plain").split("\t")
        return Row(kind, candidates)

    def groups(self) -> set[str]:
        """Return the names of the config groups."""
        return {base[:-1] for base, row in self._rows.items() if row.startswith("group")}


def folder() -> str:
    """Return the cache folder; empty where the environment names none."""
    cache = posix.environ.get(b"XDG_CACHE_HOME") or posix.environ.get(b"HOME", b"") + b"/.cache"
    return cache.decode() + "/patchsets/completion" if cache.startswith(b"/") else ""


def table_key(script: str, flags: dict[str, str], overrides: list[str]) -> str:
    """Return what tells one table from another, on one line."""
    of_config = [f"{name} {value}" for name, value in sorted(flags.items()) if name.startswith("--config")]
    working_folder = [posix.getcwd()] if of_config else []
    environment = f"{sys.executable.rpartition('/')[0]} {sys.hexversion:x}"
    parts = [VERSION, environment, script, *working_folder, *of_config, *overrides]
    return "\x1f".join(part.replace("\n", " ") for part in parts)


def path_of(key: str) -> str:
    """Return the path of the table with this key."""
    number = int.from_bytes(key.encode(errors="surrogateescape"), "big") % (
        2**89 - 1
    )  # hashlib costs an import
    return f"{folder()}/{number:x}.table"


def read(key: str) -> Table | None:
    """Return the table with this key, unless there is none or a file it was made from has changed."""
    try:
        with open(path_of(key), encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            found_key, watched, seen, *rows = file.read().split("\n")
    except (OSError, ValueError):
        return None
    if found_key != key or seen != fingerprint(watched.split("\t")):
        return None
    return Table(dict(row.split("\t", 1) for row in rows if row))


def fingerprint(watched: list[str]) -> str:
    """Return the state of files and of whole folders (named with a slash at the end) as one line."""
    seen: list[str] = []
    for path in watched:
        if path.endswith("/"):
            _look_into(path, seen)
        else:
            _look_at(path, path, seen)
    return " ".join(seen)


def _look_into(directory: str, seen: list[str]) -> None:
    try:
        entries = sorted((entry.name, entry.is_dir()) for entry in posix.scandir(directory))
    except OSError:
        seen.append("-")
        return
    for name, is_directory in entries:
        if name.startswith((".", "__pycache__")):
            continue
        if is_directory:
            _look_into(f"{directory}{name}/", seen)
        elif name.endswith((".yaml", ".yml", ".py")):
            _look_at(directory + name, name, seen)


def _look_at(path: str, name: str, seen: list[str]) -> None:
    try:
        status = posix.stat(path)
    except OSError:
        seen.append("-")
        return
    seen.append(f"{name!r}.{status.st_ino:x}.{status.st_size:x}.{status.st_mtime_ns:x}")

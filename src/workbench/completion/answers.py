"""From a table's row to the candidates for the word under the cursor."""

import posix

from workbench.completion.cache import Row
from workbench.completion.command_line import Word, base_of, last_item

TYPE_CHECKING = False  # typing's own costs its import
if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = __file__.rsplit("/", 4)[0]
FILE_BEGINS = ("/", "./", "../", "~/")
ESCAPED = {"": " \t\\'\"$`&|;<>(){}*?!", '"': '\\"$`!', "'": ""}


def candidates(
    text: str, row_of: "Callable[[str], Row]", values: list[str], live: bool = False
) -> list[str] | None:
    """Return what the word can become, sorted; None where only Hydra itself can tell.

    `values` are the earlier overrides that the table leaves out; `live`: it leaves none out.
    """
    if text.startswith("++"):
        found = candidates(text[2:], row_of, values, live)
        return found and ["++" + candidate for candidate in found]
    base = base_of(text)
    row = row_of(base)
    if not live and _needs_hydra(row, base, values):
        return None
    before, item, elders, closers = last_item(text)
    if not before:
        return sorted(candidate for candidate in row.candidates if candidate.startswith(text))
    ends = [candidate[len(base) :] for candidate in row.candidates]
    found = _beginning_with(item, [end for end in ends if end not in elders])
    found += _files(item, row.kind)
    return sorted({before + end + ("" if end.endswith("/") else closers) for end in found})


def _needs_hydra(row: Row, base: str, values: list[str]) -> bool:
    overridden = any(value.startswith(base) for value in values) and base.endswith("=")
    return row.kind == "live" or overridden or (row.kind == "derived" and bool(values))


def _beginning_with(item: str, ends: list[str]) -> list[str]:
    capital = [end.capitalize() for end in ends if item[:1].isupper() and end in ("true", "false")]
    return [end for end in ends + capital if end.startswith(item)]


def _files(item: str, kind: str) -> list[str]:
    """Return the files below what was typed; folders of runs also relative to the workspace."""
    if kind == "run" and item:
        return _entries(item, "", runs=True) + (
            [] if item[0] in "/~" else _entries(item, ROOT + "/", runs=True)
        )
    if kind == "path" or item.startswith(FILE_BEGINS):
        return _entries(item, "", runs=False)
    return []


def _entries(item: str, root: str, runs: bool) -> list[str]:
    directory, slash, begin = item.rpartition("/")
    home = posix.environ.get(b"HOME", b"").decode()
    place = root + (home + directory[1:] if directory[:1] == "~" else directory) + slash
    try:
        entries = [entry for entry in posix.scandir(place or ".") if entry.name.startswith(begin)]
    except OSError:
        return []
    shown = [entry for entry in entries if begin or not entry.name.startswith(".")]
    if not runs:
        return [directory + slash + entry.name + ("/" if entry.is_dir() else "") for entry in shown]
    folders = [entry.name for entry in shown if entry.is_dir()]
    return [directory + slash + name + ("" if _is_run(place + name) else "/") for name in folders]


def _is_run(folder: str) -> bool:
    try:
        posix.stat(folder + "/config.yaml")
    except OSError:
        return False
    return True


def in_bash(found: list[str], word: Word) -> list[str]:
    """Return candidates as COMPREPLY wants them: from readline's word break on, escaped."""
    replies = [word.typed + _escape(candidate[len(word.text) :], word.quote) for candidate in found]
    if len(found) != 1:
        return replies
    if is_whole(found[0]):
        return replies if word.quote else [replies[0] + " "]
    return (
        [replies[0], replies[0] + "..."] if word.quote else replies
    )  # two of them: readline leaves the quote open


def is_whole(candidate: str) -> bool:
    """Tell whether nothing is to follow in this word."""
    return candidate[-1:] not in "=./"


def _escape(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("'", "'\\''")
    return "".join("\\" + character if character in ESCAPED[quote] else character for character in text)

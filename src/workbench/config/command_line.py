"""Words of the command line, before Hydra reads them."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from workbench.common.hydra_flags import FLAGS_WITH_VALUE


def quote_note(words: Iterable[str]) -> list[str]:
    """Return the words with the text behind `note=` quoted: a note is prose, never a list or a sweep."""
    return [_quoted_note(word) for word in words]


def _quoted_note(word: str) -> str:
    key, _, text = word.partition("=")
    if key != "note" or re.fullmatch(r"(['\"]).*\1", text, re.DOTALL):
        return word
    # In Hydra's grammar a backslash is special before a quote only.
    return 'note="' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + '\\"' * bool(found[2]), text) + '"'


def quoted(path: Path) -> str:
    """Return a path as the value of an override."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def flags_last(words: Sequence[str]) -> list[str]:
    """Return a command line's words with its flags behind them: argparse reads words on one side only."""
    flags, others, owner = list[str](), list[str](), ""
    for word in words:
        is_value = owner in (*FLAGS_WITH_VALUE, *FLAGS_WITH_VALUE.values()) and "=" not in word
        (flags if word.startswith("-") or is_value else others).append(word)
        owner = word
    return [*others, *flags]


def command(words: Sequence[str]) -> str:
    """Return the command that runs these words, ready to paste."""
    return shlex.join(["python", "src/train.py", *words])

"""Words of a command line: as Hydra reads them, and as a person pastes them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from patchsets.completion.command_line import FLAGS_WITH_VALUE


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

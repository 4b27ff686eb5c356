"""Words of the command line, before Hydra reads them."""

import re
from collections.abc import Iterable


def quote_note(words: Iterable[str]) -> list[str]:
    """Return the words with the text behind `note=` quoted: a note is prose, never a list or a sweep."""
    return [_quoted_note(word) for word in words]


def _quoted_note(word: str) -> str:
    key, _, text = word.partition("=")
    if key != "note" or re.fullmatch(r"(['\"]).*\1", text, re.DOTALL):
        return word
    # In Hydra's grammar a backslash is special before a quote only.
    return 'note="' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + '\\"' * bool(found[2]), text) + '"'

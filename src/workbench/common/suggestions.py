"""The nearest right name for a wrong one."""

import difflib
from collections.abc import Sequence


def nearest(word: str, words: Sequence[str], prefix: str = "") -> str:
    """Return ": did you mean ...?" with the closest of the words, or nothing."""
    folded = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f": did you mean {prefix}{folded[close[0]]}?" if close else ""


def nearest_key(key: str, keys: Sequence[str]) -> str:
    """Return ": did you mean ...?" by the whole path, else by the last word wherever it stands."""
    by_path = nearest(key, keys)
    last_word = key.rpartition(".")[2]
    same_word = [known for known in keys if known.rpartition(".")[2] == last_word]
    return f": did you mean {same_word[0]}?" if same_word else by_path

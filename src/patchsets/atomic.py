"""Files that appear whole or not at all, for whoever watches their folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """Give a hidden name to write to; what was written gets its own name once it is whole."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)

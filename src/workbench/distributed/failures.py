"""What a rank other than 0 leaves when it fails: a hidden note in the run folder, for rank 0 to tell."""

import time
import traceback
from pathlib import Path

from workbench.common.errors import RankFailed, UserError
from workbench.common.files import read_json, write_json

PATIENCE = 3.0  # seconds in which the note of a rank appears whose end another rank has noticed


def leave_note(folder: Path, rank: int, error: BaseException) -> None:
    """Say why this rank ended."""
    is_plain = isinstance(error, UserError)
    line = str(error) if is_plain else f"{type(error).__name__}: {error}".splitlines()[0]
    trace = "" if is_plain else "".join(traceback.format_exception(error))
    write_json(_note(folder, rank), {"error": line, "traceback": trace})


def forget_notes(folder: Path) -> None:
    """Remove the notes of an earlier start."""
    for note in folder.glob(_note(folder, "*").name):
        note.unlink(missing_ok=True)


def find_failure(folder: Path, patience: float = PATIENCE) -> RankFailed | None:
    """Return what the first rank that failed said, waiting a little for its note."""
    deadline = time.monotonic() + patience
    while True:
        for path in sorted(folder.glob(_note(folder, "*").name), key=lambda path: path.stat().st_mtime):
            if note := read_json(path):
                number = path.stem.removeprefix(".rank_")
                return RankFailed(f"rank {number}: {note['error']}", note["traceback"])
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def _note(folder: Path, rank: int | str) -> Path:
    return folder / f".rank_{rank}.json"

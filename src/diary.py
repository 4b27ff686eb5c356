"""Write the day's runs, with their notes and pictures, into a page of the diary.

python src/diary.py                                   today, in diary/<date>.md
python src/diary.py date=2026-11-21                   another day
python src/diary.py diary=elsewhere outputs=runs      pages, and runs, that are kept in other folders

The page is yours: only what stands between its two marks is rewritten. A run's note is what was typed to
train.py: note="why I ran this".
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from workbench.common.errors import ConfigError, UserError
from workbench.common.redaction import redact_tracebacks
from workbench.common.workspace import ROOT, typed
from workbench.config.command import read_words
from workbench.history.diary import runs_of, write_page
from workbench.history.record import places, read_runs


@dataclass
class Words:
    """What diary.py was asked; `date` is today where none is said."""

    date: str | None = None
    diary: str = str(ROOT / "diary")
    outputs: str | None = None


def main(words: Sequence[str]) -> None:
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
        return
    asked = read_words(Words, words)
    day = read_date(asked.date) if asked.date is not None else date.today()
    page = Path(asked.diary).expanduser().absolute() / f"{day}.md"
    runs = runs_of(day, read_runs(places(asked.outputs)))
    if not runs:
        print(f"no run was started on {day}; no page is written", file=sys.stderr)
        return
    write_page(page, day, runs)
    print(f"{typed(page)}: {len(runs)} run{'s' if len(runs) > 1 else ''}")


def read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"date: {text} is no date; write it as {date.today()}") from None


if __name__ == "__main__":
    redact_tracebacks()
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(error.tell())

"""Write the day's runs, with their notes and pictures, into a page of the diary.

python src/diary.py                                   today, in diary/<date>.md
python src/diary.py date=2026-11-21                   another day
python src/diary.py diary=elsewhere outputs=runs      pages, and runs, that are kept in other folders

The page is yours: only what stands between its two marks is rewritten. A run's note is what was typed to
train.py: note="why I ran this".
"""

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from patchsets.closing import typed
from patchsets.errors import ConfigError, UserError
from patchsets.history.diary import runs_of, write_page
from patchsets.history.folders import places, read_runs
from patchsets.workspace import ROOT

KEYS = ("date", "diary", "outputs")


def main(words: Sequence[str]) -> None:
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
        return
    asked = read_words(words)
    day = read_date(asked["date"]) if "date" in asked else date.today()
    page = Path(asked.get("diary", ROOT / "diary")).expanduser().absolute() / f"{day}.md"
    runs = runs_of(day, read_runs(places(asked.get("outputs"))))
    if not runs:
        print(f"no run was started on {day}; no page is written", file=sys.stderr)
        return
    write_page(page, day, runs)
    print(f"{typed(page)}: {len(runs)} runs")


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Read key=value words; ConfigError for another, with the nearest right one."""
    pairs = [word.partition("=") for word in words]
    for key, sign, _ in pairs:
        if key not in KEYS or not sign:
            from patchsets.build import nearest  # loads Hydra, which only a mistake waits for

            raise ConfigError(f"{key}: there is date=, diary= and outputs={nearest(key, KEYS)}")
    return {key: value for key, _, value in pairs}


def read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"date: {text} is no date; write it as {date.today()}") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(error.tell())

"""A page of the research diary: the runs of a day between two marks, and around them what a person wrote."""

import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import quote

from workbench.common.errors import DataError
from workbench.common.files import appearing_whole
from workbench.common.table import as_markdown, shown
from workbench.history.query import telling_columns
from workbench.history.record import RunRecord
from workbench.run.starts import environment_of, starts
from workbench.run.trial import is_trial

BEGIN = "<!-- runs of the day: src/diary.py rewrites what stands between these two marks, nothing else -->"
END = "<!-- end of the runs of the day -->"


def runs_of(day: date, records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs that were started on a day, the first one first."""
    started = [record for record in records if str(record.get("started")).startswith(f"{day}")]
    return sorted(started, key=lambda record: (record.get("started"), record.name))


def write_page(page: Path, day: date, records: Sequence[RunRecord]) -> None:
    """Write the runs into a page, new or old; what a person wrote in it stays.

    Raises DataError, and changes nothing, where the page's marks are damaged or it cannot be written.
    """
    block = "\n".join([BEGIN, *_runs(page.parent, records), END])
    try:
        text = page.read_text(encoding="utf-8") if page.exists() else f"# {day:%A, %-d %B %Y}\n"
        page.parent.mkdir(parents=True, exist_ok=True)
        with appearing_whole(page) as temporary:
            temporary.write_text(_with_block(text, block, page), encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{page} cannot be read or written ({error})") from error


def _with_block(text: str, block: str, page: Path) -> str:
    marks = text.count(BEGIN), text.count(END)
    if marks == (0, 0):
        return f"{text.rstrip()}\n\n{block}\n"
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if marks != (1, 1) or not end:
        raise DataError(f"{page}: its two <!-- marks --> are not one pair; put them right, or remove both")
    return before + block + after


def _runs(folder: Path, records: Sequence[RunRecord]) -> Iterator[str]:
    """Give the lines on each run; the trials of a sweep are one table."""
    yield from ("", "## Runs")
    entries: dict[Path, list[RunRecord]] = {}
    for record in records:
        place = record.folder.parent if is_trial(record.folder) else record.folder
        entries.setdefault(place, []).append(record)
    for place, runs in entries.items():
        yield from _sweep(place, runs, folder) if is_trial(runs[0].folder) else _run(runs[0], folder)
    yield ""


def _sweep(place: Path, runs: Sequence[RunRecord], folder: Path) -> Iterator[str]:
    yield from ("", f"### {_time(runs[0])} {runs[0].get('experiment_name')}: {len(runs)} trials of a sweep")
    yield from ("", _link(f"sweep {place.name}", place, folder), "", *_table(runs))


def _run(run: RunRecord, folder: Path) -> Iterator[str]:
    yield from ("", f"### {_time(run)} {run.get('experiment_name')}: {run.get('status')}", "")
    if note := str(run.get("note")):
        yield from (*(f"> {line}" for line in note.splitlines()), "")
    commands = [str(environment_of(start).get("command", "")) for start in starts(run.folder)]
    yield from ("```", *commands, "```", "")
    yield " · ".join([*_facts(run), _link(run.name, run.folder, folder)])
    pictures = sorted((run.folder / "figures").glob("*.png"))
    if pictures:
        yield from ("", *(f"!{_link(path.stem.replace('_', ' '), path, folder)}" for path in pictures))


def _facts(run: RunRecord) -> list[str]:
    metrics = [f"{name} **{shown(value)}**" for name, value in run.metrics.items()]
    tags = [f"{name}={value}" for name, value in run.config.items() if name.startswith("tags.")]
    return [*metrics, *tags, *([f"{run.get('seconds')} s"] if run.get("seconds") is not None else [])]


def _time(run: RunRecord) -> str:
    return str(run.get("started"))[11:16]


def _link(text: str, path: Path, folder: Path) -> str:
    return f"[{text}]({quote(os.path.relpath(path, folder))})"


def _table(runs: Sequence[RunRecord]) -> list[str]:
    columns = [name for name in telling_columns(runs) if name != "experiment_name"]
    return as_markdown([{name: run.get(name) for name in columns} for run in runs], columns)

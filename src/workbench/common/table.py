"""Rows as a plain table, Markdown, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONGEST = 48  # characters of a text in a table
Rows = Sequence[Mapping[str, Any]]


def render(rows: Rows, columns: Sequence[str], form: str) -> str:
    """Return rows in one of the formats, without a line break at the end."""
    return printable({"table": _table, "csv": _csv, "json": _json}[form](rows, columns))


def printable(text: str) -> str:
    """Return a text, which may be a stranger's, without what a terminal would take for commands."""
    return CONTROL.sub("\ufffd", text)


def as_markdown(rows: Rows, columns: Sequence[str]) -> list[str]:
    """Return rows as the lines of a Markdown table."""
    return markdown(columns, [[shown(row.get(name)) for name in columns] for row in rows])


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of text as those of a Markdown table."""
    cells = [header, ["---"] * len(header), *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells]


def _table(rows: Rows, columns: Sequence[str]) -> str:
    cells = [list(columns), *([shown(row.get(name)) for name in columns] for row in rows)]
    right = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in columns]
    return "\n".join(aligned(cells, right))


def aligned(cells: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return lines of text as columns, those that `right` says by their right edges."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]


def shown(value: Any) -> str:
    """Return a value as a person reads it, in one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _csv(rows: Rows, columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(name) for name in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _json(rows: Rows, columns: Sequence[str]) -> str:
    content = [{name: row.get(name) for name in columns} for row in rows]
    return json.dumps(content, indent=2, ensure_ascii=False)

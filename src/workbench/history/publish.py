"""A table of results as text, Markdown, LaTeX or CSV, on the screen and in files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.common.errors import ConfigError
from workbench.common.files import appearing_whole
from workbench.common.table import aligned, markdown, render


@dataclass(frozen=True)
class Table:
    """Lines of text under a header, what they mean, and the same in numbers, unrounded.

    `best` are the lines whose result, in column `result`, no other line of the same data beats.
    """

    header: list[str]
    lines: list[list[str]]
    legend: str
    numbers: Sequence[Mapping[str, Any]]
    remarks: list[str] = field(default_factory=list)
    result: int = 0
    best: Sequence[int] = ()

    def as_text(self) -> str:
        """Return aligned columns and what they mean."""
        drawn = aligned([self.header, *self.lines], [False] * len(self.header))
        return "\n".join([drawn[0], "-" * max(map(len, drawn)), *drawn[1:], "", *self.remarks, self.legend])

    def as_markdown(self) -> str:
        """Return a Markdown table and what it means."""
        said = [f"{line}\n" for line in self.remarks]
        return "\n".join([*markdown(self.header, self.lines), "", *said, self.legend, ""])

    def as_latex(self) -> str:
        """Return a `tabular` for the package booktabs, the best in bold; what it means stands in comments."""
        lines = [[_latex(text) for text in line] for line in [self.header, *self.lines]]
        for place in self.best:
            lines[place + 1][self.result] = rf"\textbf{{{lines[place + 1][self.result]}}}"
        head, *body = (" & ".join(line) + r" \\" for line in lines)
        comments = [f"% {line}" for line in [*self.remarks, *self.legend.splitlines()]]
        begin = rf"\begin{{tabular}}{{{'l' * len(self.header)}}}"
        rules = [begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
        return "\n".join([*comments, *rules])

    def as_csv(self) -> str:
        """Return the numbers with all their digits."""
        columns = list(dict.fromkeys(name for row in self.numbers for name in row))
        return render(self.numbers, columns, "csv") + "\n"


SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}


def _latex(text: str) -> str:
    return re.sub(r"[\\~^±<>&%$#_{}]", lambda found: _escaped(found[0]), text)


def _escaped(sign: str) -> str:
    return f"${sign}$" if sign in "<>" else SPECIAL.get(sign, f"\\{sign}")


FORMATS = {".txt": Table.as_text, ".md": Table.as_markdown, ".tex": Table.as_latex, ".csv": Table.as_csv}


def take_outputs(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the files that words `output=` name, and the other words.

    Raises ConfigError for a file of another kind, and for one that could never be written.
    """
    others = [word for word in words if not word.startswith("output=")]
    paths = [Path(word.partition("=")[2]) for word in words if word.startswith("output=")]
    for path in paths:
        if path.suffix not in FORMATS:
            raise ConfigError(f"output={path}: name a file that ends in {', '.join(FORMATS)}")
        if path.is_dir() or any(folder.is_file() for folder in path.parents):
            raise ConfigError(f"output={path}: a {'folder' if path.is_dir() else 'file'} is in its place")
    return paths, others


def write_table(path: Path, table: Table) -> None:
    """Write the table as the file's ending says; it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing_whole(path) as temporary:
        temporary.write_text(FORMATS[path.suffix](table), encoding="utf-8")

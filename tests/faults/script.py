"""The scripts of `src/` as a person runs them, in a forked process: what took seconds to import is there."""

import runpy
import sys
from pathlib import Path

from kill import exit_code
from whole_command import ROOT


class Command:
    """A script of `src/` with the words of a command line."""

    def __init__(self, script: str, *words: str) -> None:
        self.script = str(ROOT / "src" / script)
        self.words = words

    def __call__(self) -> None:
        sys.argv = [self.script, *self.words]
        runpy.run_path(self.script, run_name="__main__")


def fail(screen: Path, *words: str) -> str:
    """Run train.py, which must fail and say so at the end, with no traceback; return what it says then."""
    code = exit_code(Command("train.py", *words), screen)
    said = screen.read_text()
    assert code in (1, 2), said
    assert "Traceback" not in said, said
    assert said.count("error: ") == 1, said
    return said.partition("error: ")[2].strip()

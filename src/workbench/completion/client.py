"""One TAB: answered from the cache by a Python that has imported next to nothing, else by Hydra (miss.py).

The reply's first line is the interpreter itself, which the shell asks next time instead of a slow shim;
then one candidate a line.
"""

import posix
import sys

from workbench.completion import answers, cache, command_line

CLIENT = "import sys; sys.path.insert(0, {source!r}); from workbench.completion import client; client.main()"


class Request:
    """What the shell asked: how it wants its answer, and what was typed."""

    def __init__(self, arguments: list[str]) -> None:
        self.shell, shell_process, self.script, line, breaks = arguments
        self.shell_process = int(shell_process)
        words, self.word = command_line.split(line, breaks)
        words = command_line.after_script(words, self.script)
        self.flags, self.overrides, self.waiting = command_line.sort_words(words)

    @property
    def text(self) -> str:
        """The text to be completed; a flag's value is written like a key's."""
        return f"{self.waiting}={self.word.text}" if self.waiting else self.word.text

    def reply(self, found: list[str]) -> None:
        """Write the candidates in the form that the shell reads."""
        found = [candidate[len(self.text) - len(self.word.text) :] for candidate in found]
        shown = answers.in_bash(found, self.word) if self.shell == "bash" else found
        text = "\n".join([sys.executable, *shown]) + "\n"
        posix.write(1, text.encode(errors="surrogateescape"))


def main() -> None:
    """Answer, or become the engine."""
    request = Request(sys.argv[1:])
    found = from_cache(request)
    if found is None:
        _become_engine()
    elif request.shell != "warm":
        request.reply(found)


def from_cache(request: Request) -> list[str] | None:
    """Return the candidates; None where Hydra has to be asked."""
    base = cache.read(cache.table_key(request.script, request.flags, []))
    if base is None:
        return None
    changing, values = command_line.part(request.overrides, base.groups())
    table = cache.read(cache.table_key(request.script, request.flags, changing)) if changing else base
    return answers.candidates(request.text, table.row, values) if table else None


def _become_engine() -> None:
    miss = __file__.removesuffix("client.py") + "miss.py"
    posix.execv(sys.executable, [sys.executable, "-P", "-B", miss, sys.pycache_prefix or "", *sys.argv[1:]])

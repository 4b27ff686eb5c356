"""Hydra's own completion, asked without running the script: what one TAB waits for, then the whole table.

Of the script only its call of `hydra.main` is read; schema and resolvers come from `workbench.config.schema`.
"""

import atexit
import os
import signal
import sys
from pathlib import Path

from workbench.completion import answers, cache, command_line
from workbench.completion.client import Request
from workbench.completion.composed import Composed
from workbench.completion.loader import read_script, start_hydra


def main() -> None:
    """Answer the request in the arguments, then write the table that answers the next ones."""
    request = Request(sys.argv[1:])
    _end_with(request.shell_process)
    sys.argv = [request.script, "-sc", f"query={request.shell}"]  # what Hydra's own completion would run
    script = read_script(Path(request.script), request.flags)
    if script is None:
        return
    used = start_hydra(script)
    base = Composed(script, [], used)
    changing, values = command_line.part(request.overrides, base.groups())
    table = Composed(script, changing, used) if changing else base
    if request.shell != "warm":
        found = answers.candidates(request.text, table.row, values)
        if found is None:
            table_of_now = Composed(script, request.overrides, used)
            found = answers.candidates(request.text, table_of_now.row, values, live=True)
        request.reply(found or [])
        _go_on_alone()
    for new in (table, base):
        key = cache.table_key(request.script, request.flags, new.overrides)
        if cache.read(key) is None:
            new.write(key)


def _go_on_alone() -> None:
    """Let the shell have its answer; a child that it does not wait for writes the table."""
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def _end_with(shell_process: int) -> None:
    """End when the shell ends: look for it 20 times a second."""

    def look(*_: object) -> None:
        try:
            os.kill(shell_process, 0)
        except ProcessLookupError:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # a late alarm would kill Python while it closes

"""What a command makes sure of as it begins: that it is somewhere, and what printing cannot do to a run."""

import ctypes
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from workbench.common.errors import ConfigError
from workbench.common.redaction import redact_tracebacks


def begin_process() -> None:
    """Let standard streams take what nobody reads, and tracebacks show no secret.

    Raises ConfigError where the current folder is gone.

    A terminal may be closed, a pipe's reader gone (`| head`), a disk full, or the stream closed (`>&-`): then
    the next file that is opened would take its number, and what libraries print would be written into it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # else it is a test's
            setattr(sys, name, _unfailing(number, stream))
    redact_tracebacks()
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder has been removed; change to one that is there") from None


def give_back_memory() -> None:
    """Let glibc give what is free back to the system, in one to ten ms; other libraries do so themselves.

    Where small results are kept between the large tensors of batches, no free piece is large enough for the
    next one, and the process grows with each.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class Screen(io.FileIO):
    """A stream that drops what it cannot write."""

    def write(self, data: Any) -> int:
        """Write bytes, or lose them; return how many were taken."""
        try:
            return super().write(data) or len(data)  # None: a pipe that is full and does not wait
        except OSError:
            return len(data)


def _unfailing(number: int, stream: TextIO | None) -> TextIO:
    """Return a stream for a file descriptor that writes as `stream`, which may be None, does."""
    unbuffered = bool(getattr(stream, "write_through", False))
    screen = Screen(number, "w", closefd=False)
    return io.TextIOWrapper(
        screen if unbuffered else io.BufferedWriter(screen),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors=getattr(stream, "errors", "backslashreplace"),
        line_buffering=bool(getattr(stream, "line_buffering", True)),
        write_through=unbuffered,
    )

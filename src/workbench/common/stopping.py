"""Ctrl-C, SIGTERM and a lost terminal end a run as an exception, so that folder and trackers are closed."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from workbench.common.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Within it the first signal raises Interrupted; a further one must not break the closing of the run."""

    def __enter__(self) -> "StopSignals":
        self._owner = os.getpid()
        self._earlier: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in STOPPING}
        if self._earlier[signal.SIGHUP] is signal.SIG_IGN:  # of nohup: the run shall outlive its terminal
            del self._earlier[signal.SIGHUP]
        self._is_heard = True
        self._earlier_hook = sys.unraisablehook
        sys.unraisablehook = self._raise_again
        for number in self._earlier:
            signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._earlier_hook

    def hear(self, is_heard: bool) -> None:
        """Let the next signal raise, or let none."""
        self._is_heard = is_heard

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a forked data worker: Ctrl-C reaches it too, but its parent ends it
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        # not by SIG_IGN: when Lightning ends it puts back the handlers that it found
        if self._is_heard:
            self._is_heard = False
            signal.signal(signal.SIGCHLD, _ignore)  # torch would report workers that were stopped too
            raise Interrupted(number)

    def _raise_again(self, swallowed: Any) -> None:
        """Send the signal anew where its exception met a destructor or a callback, which swallow any."""
        if not isinstance(swallowed.exc_value, Interrupted):
            self._earlier_hook(swallowed)
            return
        self._is_heard = True
        threading.Timer(0.01, os.kill, (self._owner, swallowed.exc_value.signal_number)).start()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Take a signal without acting: with SIG_DFL Python reports one that is pending already as an error."""


def _keep_quiet_about_the_parent() -> None:
    """Let a forked data worker not report that its parent, which was stopped, closed a connection."""
    earlier = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError):
            earlier(kind, error, trace)

    sys.excepthook = report


os.register_at_fork(after_in_child=_keep_quiet_about_the_parent)

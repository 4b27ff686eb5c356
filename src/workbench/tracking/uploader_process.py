"""The mirror in a process of its own: what a tracker computes is not computed in training's stead."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from workbench.common.errors import ConfigError, Interrupted
from workbench.common.workspace import typed
from workbench.tracking.tracker import RunDescription, Tracker
from workbench.tracking.uploader_main import Begin, Close, parse

UPLOADER = "from workbench.tracking import uploader_main; uploader_main.main()"
METHODS = ("start", "scalars", "figure", "finish")  # of a Tracker
LEAVING_SECONDS = 5.0  # in which the process stops sending; then it is killed

log = logging.getLogger(__name__)


class MirrorProcess:
    """Mirrors one run folder as Mirror does; a step of training shares no interpreter lock with it."""

    def __init__(self, folder: Path, trackers: Mapping[str, Tracker], run: RunDescription) -> None:
        self._folder = folder
        self._trackers = dict(trackers)
        self._run = run
        self._sender: Sender | None = None

    def start(self) -> None:
        """Begin at once, so that what a tracker imports is loaded while training prepares itself."""
        if self._trackers:
            self._sender = _sender()
            self._sender.tell(Begin(self._folder, self._trackers, self._run, dict(os.environ)))

    def close(self, status: str, wait: float = 10.0, may_be_left: Callable[[], None] = lambda: None) -> None:
        """Send the rest as Mirror.close does; say in one line where the process itself is gone."""
        if self._sender is None:
            return
        self._sender.tell(Close(status, wait))
        try:
            self._sender.is_done.wait(wait)
            may_be_left()
            self._sender.is_done.wait()
        except Interrupted:
            self._sender.leave()
        if how := self._sender.how_it_ended():
            log.warning(
                "what sends to %s %s; to send the rest: python src/sync.py %s",
                ", ".join(self._trackers),
                how,
                typed(self._folder),
            )


def check_tracker(name: str, tracker: Tracker) -> None:
    """Raise ConfigError for what is no tracker, or cannot be sent to the process beside training."""
    if missing := [part for part in ("name", *METHODS) if not hasattr(tracker, part)]:
        raise ConfigError(
            f"loggers.{name}: {type(tracker).__name__} is no tracker, it has no {', '.join(missing)}; "
            "a logger of Lightning is none (src/workbench/tracking/tracker.py says what one is)"
        )
    try:
        pickle.dumps(tracker)
    except Exception as error:
        raise ConfigError(
            f"loggers.{name}: it cannot be sent to the process beside training ({error}); "
            "leave what cannot be pickled to its start()"
        ) from error


class Sender:
    """The process `uploader_main.py`, what it is told, and what it says; it ends with this one."""

    def __init__(self) -> None:
        path = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
        self.is_done = threading.Event()
        # -P: it finds what this process finds, and nothing else
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", UPLOADER],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for training, which tells it what to do
        )
        assert self._process.stdin is not None
        # a data worker may outlive a killed run for seconds, and would keep this one waiting for orders
        os.register_at_fork(after_in_child=self._process.stdin.close)
        self._listener = threading.Thread(target=self._listen, name="mirror", daemon=True)
        self._listener.start()

    def tell(self, order: Begin | Close) -> None:
        """Hand over what is to be done next."""
        self.is_done.clear()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ValueError):  # it is gone, which is said at the end
            self._process.stdin.write(pickle.dumps(order))
            self._process.stdin.flush()
        if not self.is_alive:
            self.is_done.set()

    def leave(self) -> None:
        """Let it send no more."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while not self.is_done.wait(0.1) and time.monotonic() < deadline:
            self._process.send_signal(signal.SIGTERM)  # again: it hears none before it may
        if not self.is_done.is_set():
            self._process.kill()
            self.is_done.wait()

    def end(self) -> None:
        """Let it go: it has nothing left to do."""
        self._hang_up()
        self._listener.join()

    @property
    def is_alive(self) -> bool:
        """Tell whether it takes orders."""
        return self._process.poll() is None

    def how_it_ended(self) -> str:
        """Say how the process ended; nothing while it lives, as it should."""
        if self.is_alive:
            return ""
        code = self._process.returncode
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _listen(self) -> None:
        """Log what it says; what libraries print there goes into the log file only."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            printed, said = parse(line)
            if printed.strip():
                log.info("%s", printed.rstrip(), extra={"only_in_file": True})
            if said:
                name, level, text = said
                logging.getLogger(name).log(level, "%s", text)
            elif said is not None:
                self.is_done.set()
        self._process.stdout.close()
        self._process.wait()
        self._hang_up()
        self.is_done.set()

    def _hang_up(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


def _sender() -> Sender:
    """Return this process's own; one serves all its runs: a tracker's library takes seconds to load."""
    found = _senders.get(os.getpid())
    if found is None or not found.is_alive:
        found = _senders[os.getpid()] = Sender()
    return found


_senders: dict[int, Sender] = {}  # by process: a fork must not speak into its parent's

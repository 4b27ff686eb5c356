"""Sends what the run folder holds to the trackers, from background threads that nobody waits for."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from workbench.common.errors import Interrupted
from workbench.common.redaction import redact
from workbench.common.workspace import typed
from workbench.run.metrics_file import FILE_NAME, read_metrics, read_rows
from workbench.tracking.artifacts import Acknowledged, Taken
from workbench.tracking.tracker import RunDescription, Tracker

INTERVAL = 2.0  # seconds between two looks at the run folder
MOST_DOUBLINGS = 5  # of the interval while a tracker is down: about a minute
PATIENCE = 300.0  # seconds for one call of a tracker that has not failed, such as the upload of a large file
PNG_END = b"IEND\xaeB`\x82"

log = logging.getLogger(__name__)


class Mirror:
    """Mirrors one run folder to any number of trackers, each from a thread of its own.

    A tracker that is down, slow or full costs one warning, and never stops, slows or fails the run.
    """

    def __init__(self, folder: Path, trackers: Mapping[str, Tracker], run: RunDescription) -> None:
        acknowledged = Acknowledged(folder)
        self.feeds = [Feed(folder, tracker, run, acknowledged) for tracker in trackers.values()]
        self._started = False

    def start(self) -> None:
        """Begin at once, so that what a tracker imports is loaded while training prepares itself."""
        self._started = True
        for feed in self.feeds:
            feed.start()

    def close(self, status: str, wait: float = 10.0, may_be_left: Callable[[], None] = lambda: None) -> None:
        """Send the rest; say in one line what a tracker that fails did not take within `wait` seconds.

        After these a tracker that does not fail is waited for until Interrupted, which `may_be_left` allows.
        """
        if not self._started:
            return
        for feed in self.feeds:
            feed.ask_to_finish(status)
        deadline = time.monotonic() + wait
        try:
            for feed in self.feeds:
                feed.wait(deadline)
            may_be_left()
            for feed in self.feeds:
                feed.wait_while_it_works()
        except Interrupted:
            pass
        finally:
            for feed in self.feeds:
                feed.stop()


class Feed:
    """Feeds one tracker: what is new in the run folder every two seconds, and the rest at the end."""

    def __init__(
        self, folder: Path, tracker: Tracker, run: RunDescription, acknowledged: Acknowledged
    ) -> None:
        self.tracker = tracker
        self.finished = False
        self._trouble = "it is slow"
        self._folder = folder
        self._run_description = run
        self._acknowledged = acknowledged
        self._taken = acknowledged.by(tracker.name, self._where())
        self._started = self._stopped = False
        self._failures = 0
        self._status = ""
        self._closing = threading.Event()
        self._last_success = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"tracker {tracker.name}", daemon=True)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def ask_to_finish(self, status: str) -> None:
        """Send the rest now, and tell the tracker how the run ended."""
        self._status = status
        self._closing.set()

    def wait(self, deadline: float) -> None:
        """Wait for the rest to be sent, until the deadline."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def wait_while_it_works(self) -> None:
        """Wait for the rest to be sent, as long as the tracker does not fail."""
        if self._is_working():
            log.info("Still sending to %s; Ctrl-C leaves it at that.", self.tracker.name)
        while self._is_working():
            self._thread.join(0.05)

    def stop(self) -> None:
        """Make no further attempt, and say so where something is missing."""
        self._stopped = True
        if not self.finished:
            missing = len(read_metrics(self._folder, self._taken.offset))
            name, trouble, folder = self.tracker.name, self._trouble, self._folder
            log.warning(
                "%s lacks %d values and the files (%s); to send them: python src/sync.py %s",
                name,
                missing,
                trouble,
                typed(folder),
            )

    def lacks_nothing(self, status: str) -> bool:
        """Tell whether the tracker has all there is of a run that ended so; it is not asked."""
        rows, _ = read_rows(self._folder / FILE_NAME, self._taken.offset)
        return self._taken.finished == status and not rows and not list(self._new_figures())

    def send_all(self, status: str) -> int:
        """Send the rest in this thread; return the number of values. Raises what the tracker raises."""
        self._start_tracker()
        missing = len(read_metrics(self._folder, self._taken.offset))
        self._send_what_is_new()
        self._finish(status)
        return missing

    def _where(self) -> str:
        return getattr(self.tracker, "where", "")

    def _is_working(self) -> bool:
        patient_until = self._last_success + PATIENCE
        return self._thread.is_alive() and self._failures == 0 and time.monotonic() < patient_until

    def _work(self) -> None:
        while not (self.finished or self._stopped):
            # asked before sending, so that all that was written before it was set is sent
            closing = self._closing.is_set()
            try:
                self._send_what_is_new()
                if closing:
                    self._finish(self._status)
                self._succeeded()
            except Exception as error:
                self._failed(error)
            if not self.finished:
                self._pause()

    def _send_what_is_new(self) -> None:
        if not self._started:
            self._start_tracker()
        self._send_rows()
        self._send_figures()

    def _start_tracker(self) -> None:
        run_id = self.tracker.start(self._run_description.redacted(), self._acknowledged.key)
        if not run_id or run_id != self._taken.id or self._taken.where != self._where():
            self._taken = Taken(run_id, self._where())
        self._taken.finished = ""
        self._save()
        self._started = True

    def _finish(self, status: str) -> None:
        self.tracker.finish(status)
        self._taken.finished = status
        self._save()
        self.finished = True

    def _send_rows(self) -> None:
        while not self._stopped:
            rows, offset = read_rows(self._folder / FILE_NAME, self._taken.offset)
            if offset == self._taken.offset:
                return
            if rows:
                self.tracker.scalars(rows)
            self._taken.offset = offset
            self._save()

    def _send_figures(self) -> None:
        for name, path, version in self._new_figures():
            self.tracker.figure(name, path)
            self._taken.figures[name] = version
            self._save()

    def _new_figures(self) -> Iterator[tuple[str, Path, list[int]]]:
        folder = self._folder / "figures"
        for path in sorted([*folder.rglob("*.png"), *folder.rglob("*.md")]):
            name = path.relative_to(folder).as_posix().removesuffix(".png")
            stat = path.stat()
            version = [stat.st_mtime_ns, stat.st_size]
            if self._taken.figures.get(name) != version and _is_whole(path):
                yield name, path, version

    def _save(self) -> None:
        self._acknowledged.save(self.tracker.name, self._taken)
        self._last_success = time.monotonic()

    def _succeeded(self) -> None:
        if self._failures:
            log.info("%s takes values again.", self.tracker.name)
        self._failures = 0
        self._last_success = time.monotonic()

    def _failed(self, error: Exception) -> None:
        lines = redact(f"{type(error).__name__}: {error}").splitlines()
        self._trouble = lines[0][:120]
        self._started = False
        self._failures += 1
        if self._failures == 1:
            log.warning(
                "cannot reach %s (%s); training continues and will retry", self.tracker.name, self._trouble
            )

    def _pause(self) -> None:
        if self._closing.is_set():
            time.sleep(1.0 if self._failures else 0.0)
        else:
            self._closing.wait(INTERVAL * 2 ** min(self._failures, MOST_DOUBLINGS))


def _is_whole(path: Path) -> bool:
    return path.suffix == ".md" or path.read_bytes().endswith(PNG_END)

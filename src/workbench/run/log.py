"""The log of a run: plain lines on the screen, dated lines in train.log, no secret in either."""

import logging
import sys
import warnings
from logging.handlers import MemoryHandler
from pathlib import Path

from workbench.common.redaction import redact

NOISE = (
    "does not have many workers",  # small data sets are read from memory: workers would only cost
    "Checkpoint directory .* exists and is not empty",  # so it is when a run is resumed
    "smaller than the logging interval",  # the last step of an epoch is logged whatever the interval
    "isinstance.treespec, LeafSpec",  # Lightning's own use of torch
    "when logging on epoch level in distributed setting",  # each rank has judged the whole split
    "Grad strides do not match bucket view strides",  # of a convolution of one channel, in several processes
    "The dirpath has changed",  # a run folder may be moved before it is resumed
    "WeightAveraging doesn't support sharding",  # which is refused
    r"add the following callbacks: .*WeightAveraging'",  # left out of the test, so that it is of the average
    "in eval mode at the start of training",  # as an encoder is, which never changes its batch statistics
    "Total length of .* across ranks is zero",  # there is no validation split: data.val_fraction=0
    "SWA is currently only supported every epoch",  # it puts its own schedule in the place of the run's
)
LIGHTNING = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")
ASKED_FOR = ("callbacks", "profilers")  # parts of Lightning that are there because somebody named them


class Redacting(logging.Formatter):
    """Formats like its parent, with the values of secret environment variables blanked."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _is_wanted(record: logging.LogRecord) -> bool:
    """Leave out what Lightning says on every run; what its callbacks and profilers report was asked for."""
    if record.levelno >= logging.WARNING or not record.name.startswith(LIGHTNING):
        return True
    return any(part in ASKED_FOR for part in Path(record.pathname).parts)


def begin_log() -> None:
    """Send log records and warnings to the screen, and keep them until the run folder is made."""
    to_screen = logging.StreamHandler()
    to_screen.setFormatter(Redacting("%(message)s"))
    to_screen.addFilter(lambda record: not getattr(record, "only_in_file", False))
    to_screen.addFilter(_is_wanted)
    end_log()
    root = logging.getLogger()
    root.addHandler(MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize, flushOnClose=False))
    root.addHandler(to_screen)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # on a full disk each line would cost a traceback
    quieten()


def keep_log(folder: Path) -> None:
    """Write into `<folder>/train.log` what was logged so far, and all that follows."""
    to_file = logging.FileHandler(folder / "train.log", encoding="utf-8")
    to_file.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_file.addFilter(_is_wanted)
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, MemoryHandler):
            handler.setTarget(to_file)
            handler.flush()
            root.removeHandler(handler)
    root.addHandler(to_file)


def end_log() -> None:
    """Close what the log of a run was written to: another run of this process has its own."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()


def quieten() -> None:
    """Leave out what libraries say on every run and nobody needs."""
    logging.captureWarnings(True)
    for pattern in NOISE:
        warnings.filterwarnings("ignore", f".*{pattern}")
    for name in LIGHTNING:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = True  # where it was imported before there was a log, it has its own
        logger.handlers.clear()

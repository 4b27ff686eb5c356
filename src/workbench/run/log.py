"""The log of a run: plain lines on the screen, dated lines in train.log, no secret in either."""

import logging
import warnings
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
)


class Redacting(logging.Formatter):
    """Formats like its parent, with the values of secret environment variables blanked."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def start_log(folder: Path) -> None:
    """Send log records and warnings to the screen and to `<folder>/train.log`."""
    to_file = logging.FileHandler(folder / "train.log", encoding="utf-8")
    to_file.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_screen = logging.StreamHandler()
    to_screen.setFormatter(Redacting("%(message)s"))
    to_screen.addFilter(lambda record: not getattr(record, "only_in_file", False))
    end_log()
    root = logging.getLogger()
    root.addHandler(to_file)
    root.addHandler(to_screen)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # on a full disk each line would cost a traceback
    quieten()


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
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)

"""What a tracker is to the mirror, and what it is told about a run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from workbench.common.redaction import BLANK, is_secret_name, redact
from workbench.run.metrics_file import Row

Plain = str | int | float | bool | None


@dataclass(frozen=True)
class RunDescription:
    """What every tracker lists about a run; `started` is the Unix time of its first start."""

    folder: Path
    experiment_name: str
    run_name: str
    tags: dict[str, str]
    hparams: dict[str, Plain]
    started: float
    note: str = ""

    def redacted(self) -> "RunDescription":
        """Return the description with every secret blanked."""
        tags = {key: str(_blank(key, text)) for key, text in self.tags.items()}
        hparams = {key: _blank(key, value) for key, value in self.hparams.items()}
        return replace(self, tags=tags, hparams=hparams, note=redact(self.note))


def _blank(key: str, value: Plain) -> Plain:
    if is_secret_name(key) and not isinstance(value, bool | None):
        return BLANK
    return redact(value) if isinstance(value, str) else value


class Tracker(Protocol):
    """Shows runs to people. All methods are called from one thread, not of training, and may raise anything.

    It is pickled into the process beside training before its first call.

    One that keeps runs elsewhere than in their folders has an attribute `where`: the address of its store.
    """

    name: str

    def start(self, run: RunDescription, key: str) -> str:
        """Connect and return the tracker's own id of the run; called again after every failure.

        `key` is unique to the run folder: a tracker that keeps runs finds its own again by it, and where
        the id is the same as before only the rest is sent. One that returns "" begins anew.
        """

    def scalars(self, rows: list[Row]) -> None:
        """Take values; the same ones may come again after a failure."""

    def figure(self, name: str, path: Path) -> None:
        """Take a new or changed PNG; or a text, whose name and path end in .md."""

    def finish(self, status: str) -> None:
        """Take the remaining files and how the run ended: finished, failed, interrupted or pruned."""

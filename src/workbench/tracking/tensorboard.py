"""TensorBoard: event files in `<run folder>/tensorboard/`; to look at them: tensorboard --logdir outputs"""

from pathlib import Path

from workbench.common.redaction import redact
from workbench.run.folder import fingerprint_of
from workbench.run.metrics_file import Row
from workbench.tracking.tracker import RunDescription


class TensorboardTracker:
    """Writes the run's event file anew at every start, so that it always equals metrics.csv."""

    name = "tensorboard"

    def start(self, run: RunDescription, key: str) -> str:
        """Replace earlier event files; write hyper-parameters, tags and config.yaml."""
        from workbench.tracking.event_file import EventFile

        self._folder = run.folder
        folder = run.folder / "tensorboard"
        folder.mkdir(exist_ok=True)
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        self._epoch = 0
        self._file = EventFile(folder)
        self._file.session_start(run.run_name, run.started, {**run.hparams, **_prefixed(run.tags)})
        self._file.markdown("tags", _table(run.tags))
        config = run.folder / "config.yaml"
        if config.is_file():
            self._file.markdown("config", _code(redact(config.read_text(encoding="utf-8"))))
        return ""

    def scalars(self, rows: list[Row]) -> None:
        """Write values: those of a step against the step, those of an epoch against the epoch."""
        self._file.scalars(rows)
        self._epoch = rows[-1].epoch

    def figure(self, name: str, path: Path) -> None:
        """Write a figure or text at the epoch that training has reached."""
        if path.suffix == ".md":
            self._file.markdown(f"figures/{name}", path.read_text(encoding="utf-8"), self._epoch)
            return
        self._file.png(f"figures/{name}", path.read_bytes(), self._epoch)

    def finish(self, status: str) -> None:
        """Write how the run ended."""
        if fingerprint := fingerprint_of(self._folder):
            self._file.markdown("data", fingerprint)
        self._file.session_end(success=status == "finished")
        self._file.close()


def _prefixed(tags: dict[str, str]) -> dict[str, str]:
    return {f"tags.{name}": text for name, text in tags.items()}


def _table(tags: dict[str, str]) -> str:
    return "\n".join(["| tag | |", "|---|---|", *(f"| {name} | {text} |" for name, text in tags.items())])


def _code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())

"""One run as its folder tells it, under the names that one types to train.py."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from workbench.common.errors import DataError
from workbench.run.metrics_file import read_metrics
from workbench.run.summary import read_summary, status
from workbench.run.trial import choice, is_trial

FACTS = ("run", "experiment_name", "status", "started", "seconds", "note", "task", "data", "model")


@dataclass(frozen=True)
class RunRecord:
    """A run: its folder, its name, and flat values such as `hparams.width`, `tags.author`, `test/loss`."""

    folder: Path
    name: str
    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]
    _latest: dict[str, float] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """Return a value by its name; None where the run has none. `val/...` and the like: the last one."""
        for values in (self.facts, self.config, self.metrics):
            if key in values:
                return values[key]
        return self.logged().get(key) if "/" in key else None

    def names(self) -> list[str]:
        """Return every name that `get` finds, but those of values along the way, which `logged` has."""
        return [*self.facts, *self.config, *self.metrics]

    def logged(self) -> dict[str, float]:
        """Return the last value of everything the run logged; read when it is first asked for."""
        if not self._latest:
            self._latest.update({row.name: row.value for row in read_metrics(self.folder)})
        return self._latest


def read_run(folder: Path) -> RunRecord:
    """Read a run folder; raise DataError, with the reason, where it is damaged.

    A run is called like its folder, a trial `<sweep>/<number>`.
    """
    config = _read_yaml(folder / "config.yaml", dict)
    summary = read_summary(folder)
    if "started" not in summary:
        raise DataError("its summary.json is missing or damaged")
    flat = dict(_flat(config, ""))
    overrides = _read_yaml(folder / "overrides.yaml", list) if (folder / "overrides.yaml").is_file() else []
    name = f"{folder.parent.name}/{folder.name}" if is_trial(folder) else folder.name
    facts = {
        "run": name,
        "experiment_name": config.get("experiment_name"),
        "status": status(folder),
        "started": f"{datetime.fromtimestamp(summary['started']):%Y-%m-%d %H:%M:%S}",
        "seconds": round(summary["ended"] - summary["started"]) if "ended" in summary else None,
        "note": config.get("note") or "",
        **{group: choice(group, config.get(group), overrides) for group in FACTS[-3:]},
    }
    return RunRecord(folder, name, facts, flat, dict(summary.get("metrics") or {}))


def _read_yaml(path: Path, kind: type) -> Any:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"its {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, kind):
        raise DataError(f"its {path.name} is not what train.py writes")
    return content


def _flat(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value

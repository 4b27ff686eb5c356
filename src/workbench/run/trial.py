"""A run that is a trial of a search: what its folder says of the study, and what the study is told of it.

By which names a run chose its task, data, model and trainer: those of the files under config/.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from workbench.common.files import read_json, write_json
from workbench.common.workspace import ROOT
from workbench.run.metrics_file import Row, read_metrics


@dataclass(frozen=True)
class TrialNote:
    """trial.json of a run folder: which trial of which study it is; `tags` are for trackers.

    `pruner` is the part of `sweep` that names one, or None where trials are run to their end.
    """

    study: str
    storage: str
    number: int
    trial_id: int
    metric: str
    pruner: dict[str, Any] | None
    tags: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into a run folder, which may not be there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / NOTE, asdict(self))


def read_note(folder: Path) -> TrialNote | None:
    """Read what a run folder says of its study; None where the run is no trial."""
    content = read_json(folder / NOTE)
    return TrialNote(**content) if content else None


def trial_folder() -> Path | None:
    """Return the run folder that a sweep has chosen for this process; None outside of one."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get()
    if config.mode is RunMode.MULTIRUN:
        return Path(config.runtime.output_dir)
    return Path(config.run.dir) if config.run.dir != "." else None


def best_values(folder: Path, monitor: str, mode: str, metrics: list[str], keep: str = "best") -> list[float]:
    """Return validation metrics of the epoch whose weights were kept: the best by `monitor`, or the last.

    Raises LookupError where the run has logged none.
    """
    values = kept_values(folder, monitor, mode, keep)
    for name in metrics:
        if name not in values:
            known = ", ".join(sorted(values)) or "no metric of an epoch"
            raise LookupError(f"the run logged no {name}; it logged {known}")
    return [values[name] for name in metrics]


def kept_values(folder: Path, monitor: str, mode: str, keep: str = "best") -> dict[str, float]:
    """Return what a run logged of the epoch whose weights were kept, by name."""
    rows = [row for row in read_metrics(folder) if row.axis == "epoch" and not row.name.startswith("test/")]
    kept = _best_epoch(rows, monitor if keep == "best" else "", mode)
    return {row.name: row.value for row in rows if row.epoch == kept}


def _best_epoch(rows: list[Row], monitor: str, mode: str) -> int:
    """Return the best epoch; where nothing tells, the last one, whose weights are tested then."""
    sign = 1 if mode == "min" else -1
    watched = {row.epoch: sign * row.value for row in rows if row.name == monitor}  # the last one counts
    if not watched:
        return max((row.epoch for row in rows), default=0)
    return min(watched, key=lambda epoch: (watched[epoch], epoch))


RESULTS = "optimization_results.yaml"
TABLE = "trials.csv"
NOTE = "trial.json"


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder holds the run folders of a sweep, one of which has ended."""
    return (folder / RESULTS).is_file()


def is_trial(run_folder: Path) -> bool:
    """Tell whether a run is a trial of a sweep."""
    return (run_folder / NOTE).is_file()


CHOICES = ("task", "data", "model", "trainer")


def choice(group: str, node: Any, overrides: Sequence[str]) -> str | None:
    """Return what was typed for a group, else the preset with the target of its node, else its module."""
    typed = [word.partition("=")[2] for word in overrides if word.startswith(f"{group}=")]
    if typed:
        return typed[-1]
    target = str(node.get("_target_", "")) if isinstance(node, Mapping) else ""
    return presets(group).get(target) or (target.split(".")[-2] if "." in target else None)


@cache
def presets(group: str) -> dict[str, str]:
    """Return the names of a group's files by the target each names; of several the first by name."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "config" / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        named = re.search(r"^ *_target_: *(\S+)", text, re.MULTILINE)
        if named:
            found.setdefault(named[1], path.stem)
    return found


# Last parts of keys that change which examples are trained on and tested.
SPLITS = ("split_seed", "fold", "repetition")


def is_repeated(key: str) -> bool:
    """Tell a key whose values are averaged over: `seed`, `data.fold` and the like."""
    return key.rpartition(".")[2] in ("seed", *SPLITS)


def is_averaged(name: str) -> bool:
    """Tell a metric of the whole test split from the ends of an interval, and from one of a class or kind."""
    return name.startswith("test/") and name.count("/") == 1 and not name.endswith(("_low", "_high"))

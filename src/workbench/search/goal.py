"""What a sweep seeks, and one trial on its way there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Goal:
    """What is sought: `metrics` at the epoch that `monitor` chose; `n_trials` is None for all of a grid."""

    monitor: str
    mode: str
    metrics: list[str]
    directions: list[str]
    n_trials: int | None


@dataclass
class Job:
    """One trial on its way: Optuna's trial, the run folder and the overrides."""

    trial: Any
    folder: Path
    words: list[str]

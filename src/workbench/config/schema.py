"""The types of the configuration's root and of `hparams`; without torch, so that an answer comes at once."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from workbench.common.errors import ConfigError

GROUPS = ("task", "data", "model", "trainer", "loggers")
KEEP = ("best", "last")
ABOVE_ZERO = ("batch_size", "learning_rate", "max_epochs")


@dataclass
class Hparams:
    """The hyper-parameters of every run; a part's own stand in its YAML (config/hparams.py says how)."""

    batch_size: int = 64
    optimizer: str = "AdamW"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    max_epochs: int = 10
    gradient_clip: float | None = 1.0  # largest norm of all gradients together; null switches it off
    schedule: str | None = "cosine"  # of the learning rate: cosine, one_cycle, a name of `schedules`, or null
    warmup_steps: int = 0  # in which the learning rate rises, before the schedule
    early_stopping_patience: int | None = None  # epochs without a better validation metric; null never stops
    keep: str = "best"  # the weights that are tested and used: of the best epoch by task.monitor, or the last

    def __post_init__(self) -> None:
        for name in ABOVE_ZERO:
            self._require(name, getattr(self, name) > 0, "a number above 0")
        for name in ("gradient_clip", "early_stopping_patience"):
            value = getattr(self, name)
            self._require(name, value is None or value > 0, "a number above 0, or null")
        self._require("keep", self.keep in KEEP, " or ".join(KEEP))
        self._require("weight_decay", self.weight_decay >= 0, "0 or more")
        self._require("warmup_steps", self.warmup_steps >= 0, "0 or more")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"hparams.{name}: {getattr(self, name)!r} is not {wanted}")


@dataclass
class Sweep:
    """How -m searches; src/workbench/search/ checks and uses it."""

    n_trials: int | None = (
        None  # finished trials to reach; null: every combination, or 20 where there is no end
    )
    sampler: str = "tpe"  # tpe, random, gp, qmc or nsgaii, with options as Optuna calls them
    sampler_options: dict[str, Any] = field(default_factory=dict)
    pruner: str = "none"  # none, median, percentile, halving, hyperband or threshold
    pruner_options: dict[str, Any] = field(default_factory=dict)
    metric: Any = None  # null: what the task chooses its best epoch by; a name, or several
    direction: Any = None  # minimize or maximize; one for each metric
    storage: str | None = None  # null: $OPTUNA_STORAGE, else a journal in the sweep's folder


@dataclass
class Config:
    """The root of the configuration; `build.py` checks the groups against the targets they name."""

    experiment_name: str = "patch_sets"
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""  # why this was run, in your own words
    seed: int = 0
    debug: bool = False
    resume: str | None = None
    repeat: str | None = None
    init_from: str | None = None
    save_model: bool | None = None  # the trained model for use (model/); null: all but trials of a sweep
    outputs: str = MISSING
    trusted_targets: list[str] = field(default_factory=list)
    optimizers: dict[str, Any] = field(default_factory=dict)
    schedules: dict[str, Any] = field(default_factory=dict)
    hparams: Hparams = field(default_factory=Hparams)
    sweep: Sweep = field(default_factory=Sweep)
    task: Any = None
    data: Any = None
    model: Any = None
    trainer: Any = None
    loggers: Any = None


def schema() -> DictConfig:
    """Return the root with its types; tags, and hyper-parameters of parts, may be added without a +."""
    root = OmegaConf.structured(Config)
    for node in (root.tags, root.hparams, root.sweep.sampler_options, root.sweep.pruner_options):
        OmegaConf.set_struct(node, False)
    assert isinstance(root, DictConfig)
    return root

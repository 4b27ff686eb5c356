"""The types of the configuration's root and of `hparams`; without torch, so that an answer comes at once."""

import hashlib
import sys
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.workspace import ROOT

GROUPS = ("task", "data", "model", "trainer", "loggers")
LOSSES = ("mse", "bce", "l1", "ssim")  # of a reconstruction
BOTTLENECKS = ("vector", "spatial")  # of an autoencoder
SCORE_MAPS = ("l2", "ssim", "l2+ssim", "own")  # what an anomaly score is pooled from
POOLINGS = ("mean", "max", "top1")  # from a map to the score of an image
THRESHOLDS = ("quantile", "f1", "k_sigma")  # ways to choose the score above which an image is an anomaly
CHOICES = {"loss": LOSSES, "bottleneck": BOTTLENECKS, "score_map": SCORE_MAPS, "pooling": POOLINGS}
ABOVE_ZERO = (
    "batch_size", "learning_rate", "max_epochs", "width", "depth", "heads", "image_size", "latent_dim"
)  # fmt: skip


@dataclass
class Hparams:
    """Everything a user turns and a tracker lists, as one flat mapping of plain values."""

    batch_size: int = 64
    optimizer: str = "AdamW"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    max_epochs: int = 10
    gradient_clip: float | None = 1.0  # largest norm of all gradients together; null switches it off
    schedule: str | None = "cosine"  # of the learning rate: cosine, one_cycle, a name of `schedules`, or null
    warmup_steps: int = 0  # in which the learning rate rises, before the schedule
    early_stopping_patience: int | None = None  # epochs without a better validation metric; null never stops
    width: int = 64
    depth: int = 2
    heads: int = 4
    dropout: float = 0.0
    patches: Any = None  # shown per image in training: a number, [low, high], or null for all
    # anomaly detection
    image_size: int = 256  # pixels of a side
    enc_channels: list[int] = field(default_factory=lambda: [32, 64, 128])  # each block halves the image
    latent_dim: int = (
        32  # numbers the whole image is squeezed into; per place where the bottleneck is spatial
    )
    bottleneck: str = "vector"  # vector for aligned objects, spatial for textures
    loss: str = "mse"  # of a reconstruction: mse, bce, l1 or ssim
    beta: float = 1.0  # weight of the Kullback-Leibler divergence of a variational autoencoder
    score_map: str = "l2"  # error per pixel: l2, ssim, l2+ssim, or own where the network has one
    pooling: str = "top1"  # from map to score: mean, max, or top1, the mean of the highest hundredth
    threshold: Any = "quantile"  # chosen on validation: quantile, f1, k_sigma; or a number
    false_positive_rate: float = 0.05  # share of good images that the quantile may call anomalies

    def __post_init__(self) -> None:
        for name in ABOVE_ZERO:
            self._require(name, getattr(self, name) > 0, "a number above 0")
        for name in ("gradient_clip", "early_stopping_patience"):
            value = getattr(self, name)
            self._require(name, value is None or value > 0, "a number above 0, or null")
        self._require("weight_decay", self.weight_decay >= 0, "0 or more")
        self._require("warmup_steps", self.warmup_steps >= 0, "0 or more")
        self._require("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        for name, words in CHOICES.items():
            self._require(name, getattr(self, name) in words, f"one of {', '.join(words)}")
        channels = self.enc_channels
        self._require("enc_channels", bool(channels) and min(channels) > 0, "a list of numbers above 0")
        self._require("beta", self.beta >= 0, "0 or more")
        self._require("threshold", _is_threshold(self.threshold), f"a number or {', '.join(THRESHOLDS)}")
        self._require("false_positive_rate", 0 < self.false_positive_rate < 1, "above 0 and below 1")
        self._require("patches", _is_patch_count(self.patches), "a number above 0, [low, high], or null")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"hparams.{name}: {getattr(self, name)!r} is not {wanted}")


def _is_threshold(threshold: Any) -> bool:
    if isinstance(threshold, str):
        return threshold in THRESHOLDS
    return isinstance(threshold, int | float) and not isinstance(threshold, bool)


def _is_patch_count(patches: Any) -> bool:
    if patches is None or (isinstance(patches, int) and patches > 0):
        return True
    return (
        isinstance(patches, list)
        and len(patches) == 2
        and all(isinstance(bound, int) for bound in patches)
        and 0 < patches[0] <= patches[1]
    )


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


# What may change between two starts of one sweep: how far it goes, and on what.
OF_A_START = ("-m", "--multirun", "sweep.n_trials=", "hydra/launcher=", "hydra.launcher.", "note=")


def _sweep_name() -> str:
    """Name a sweep after its command, so that the same command finds its folder again."""
    words = sorted(word for word in sys.argv[1:] if not word.startswith(OF_A_START))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:10]


def register() -> None:
    """Make the schema and the resolvers known to Hydra."""
    schema = OmegaConf.structured(Config)
    for node in (schema.tags, schema.sweep.sampler_options, schema.sweep.pruner_options):
        OmegaConf.set_struct(node, False)  # so that tags.author=me needs no +
    ConfigStore.instance().store(name="schema", node=schema)
    OmegaConf.register_new_resolver("workspace", lambda path: str(ROOT / path), replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, use_cache=True, replace=True)

"""Samplers and pruners of Optuna by short names, and the check of what `sweep` says about a search."""

import warnings
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError, nearest
from workbench.config.build import check

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = {
    "tpe": "optuna.samplers.TPESampler",
    "random": "optuna.samplers.RandomSampler",
    "gp": "optuna.samplers.GPSampler",
    "qmc": "optuna.samplers.QMCSampler",
    "nsgaii": "optuna.samplers.NSGAIISampler",
}
PRUNERS = {
    "none": "optuna.pruners.NopPruner",
    "median": "optuna.pruners.MedianPruner",
    "percentile": "optuna.pruners.PercentilePruner",
    "halving": "optuna.pruners.SuccessiveHalvingPruner",
    "hyperband": "optuna.pruners.HyperbandPruner",
    "threshold": "optuna.pruners.ThresholdPruner",
}
DIRECTIONS = ("minimize", "maximize")
SEED_STRIDE = 1_000_003


def check_sweep(sweep: DictConfig) -> None:
    """Raise ConfigError for a name, option or pair of keys of `sweep` that cannot be right."""
    for key, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        name = sweep[key]
        if name not in known:
            close = nearest(name, list(known)) or f"; there is {', '.join(known)}"
            raise ConfigError(f"sweep.{key}: there is no {name}{close}")
        node = OmegaConf.create({"_target_": known[name], **sweep[f"{key}_options"]})
        given = ("seed",) if key == "sampler" else ()
        check(node, f"sweep.{key}_options", ["optuna."], given)
    _check_goal(sweep)


def _check_goal(sweep: DictConfig) -> None:
    if sweep.n_trials is not None and sweep.n_trials <= 0:
        raise ConfigError(f"sweep.n_trials: {sweep.n_trials} is not a number above 0, or null")
    metrics, directions = as_list(sweep.metric), as_list(sweep.direction)
    for direction in directions:
        if direction not in DIRECTIONS:
            close = nearest(direction, DIRECTIONS) or f"; there is {', '.join(DIRECTIONS)}"
            raise ConfigError(f"sweep.direction: there is no {direction}{close}")
    if max(len(metrics), len(directions)) > 1:
        if directions and len(metrics) != len(directions):
            raise ConfigError(
                f"sweep.metric names {len(metrics)} metrics and sweep.direction {len(directions)} directions;"
                " give one direction for each"
            )
        if sweep.pruner != "none":
            raise ConfigError(f"sweep.pruner={sweep.pruner}: a search in several directions cannot be pruned")


def as_list(value: Any) -> list[str]:
    """Return one name or several as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(each) for each in value]


def make_sampler(sweep: DictConfig, seed: int, number: int) -> "BaseSampler":
    """Make the sampler for one trial: what it draws depends on the seed and the trial's number alone.

    So a search that was stopped asks for what an uninterrupted one does, and several workers for different
    things.
    """
    keeps_one = sweep.sampler == "qmc"  # a quasi-random sequence counts its points by itself
    options = {"seed": seed if keeps_one else (seed * SEED_STRIDE + number) % 2**32}
    return _make(SAMPLERS[sweep.sampler], options | dict(sweep.sampler_options))


def make_pruner(sweep: DictConfig) -> "BasePruner":
    """Make the pruner that `sweep` names."""
    return _make(PRUNERS[sweep.pruner], dict(sweep.pruner_options))


def _make(target: str, options: dict[str, Any]) -> Any:
    import optuna

    group, name = target.split(".")[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return getattr(getattr(optuna, group), name)(**options)
        except ValueError as error:
            raise ConfigError(f"sweep: {name} refuses its options: {error}") from error

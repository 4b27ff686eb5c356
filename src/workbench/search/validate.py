"""Everything about a sweep that can be found wrong before anything is made; then its parts, put together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.utils import get_class
from omegaconf import DictConfig, open_dict

from workbench.common.errors import ConfigError
from workbench.common.rank import started_together
from workbench.config.checks import check_config
from workbench.config.choose import choose_config
from workbench.config.command import words_for_hydra
from workbench.config.hparams import drop_unread, refuse_unread
from workbench.run.metrics_file import better, goal_of
from workbench.search.mlflow_parent import Parent
from workbench.search.processes import devices_of
from workbench.search.results import Goal
from workbench.search.samplers import DIRECTIONS, as_list, check_sweep
from workbench.search.space import Space, read_space
from workbench.search.study import storage_address
from workbench.search.sweep import Sweep
from workbench.tracking.trackers import build_trackers

OWN_PROCESS = ("SubprocessLauncher", "SlurmLauncher")  # each trial starts its own ranks
TRIALS = 20  # of a search that has no end of its own


def prepare(config: DictConfig, hydra_context: Any, task_function: Any, arguments: Sequence[str]) -> Sweep:
    """Return the sweep that a command line asks for; ConfigError for the first mistake."""
    check_sweep(config.sweep)
    folder = Path(config.hydra.sweep.dir)
    address = storage_address(config.sweep.storage, folder)
    loader = hydra_context.config_loader
    space = read_space(arguments, loader, as_study=config.sweep.n_trials is not None)
    space = replace(space, for_hydra=words_for_hydra(config.hydra))
    first = None
    compositions = list(_compositions(config, loader, space))
    refuse_unread(compositions)
    for checked in compositions:
        drop_unread(checked)
        check_config(checked)
        _check_start(checked, config)
        first = first or checked
    assert first is not None
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=hydra_context, task_function=task_function
    )
    trackers = build_trackers(first)
    goal = _goal(config.sweep, first, space)
    return Sweep(config, launcher, space, goal, address, lambda: Parent(trackers, first, folder))


def _compositions(config: DictConfig, loader: Any, space: Space) -> Iterator[DictConfig]:
    for swept in space.words_to_check():
        words = [*space.fixed, *swept]
        composed = loader.load_sweep_config(config, words)
        with open_dict(composed):
            del composed["hydra"]
        yield choose_config(composed, words)


def _check_start(trial: DictConfig, config: DictConfig) -> None:
    """Refuse what can only be meant for one run."""
    if trial.debug:
        raise ConfigError("debug=True follows one batch of one run; leave out -m")
    if trial.resume:
        raise ConfigError("resume continues one run; a sweep goes on by the same command, without resume")
    launcher = config.hydra.launcher._target_.rpartition(".")[2]
    devices = devices_of(trial.trainer)
    if started_together() > 1:
        raise ConfigError("-m under torchrun or srun: each process would run the whole sweep; start it alone")
    if devices > 1 and launcher not in OWN_PROCESS:
        raise ConfigError(
            f"trainer: {devices} devices with -m need a process for each trial: add hydra/launcher=subprocess"
        )


def _goal(sweep: DictConfig, first: DictConfig, space: Space) -> Goal:
    """Say what is sought: the task's own metric and direction, unless `sweep` names others."""
    task: Any = get_class(first.task._target_)
    monitor, mode = goal_of(task, first.task.get("monitor"), first.task.get("monitor_mode"))
    if not hasattr(task, "monitor"):
        raise ConfigError(f"task: {first.task._target_} names no metric to choose its best epoch by")
    metrics = as_list(sweep.metric) or [monitor]
    if tested := [name for name in metrics if name.startswith("test/")]:
        raise ConfigError(
            f"sweep.metric: {tested[0]} is of the test split, which must not choose; name one of val/"
        )
    modes = [mode if name == monitor else better(name) for name in metrics]
    if not sweep.direction and None in modes:
        raise ConfigError(f"sweep.direction: say minimize or maximize for {', '.join(metrics)}")
    directions = as_list(sweep.direction) or [DIRECTIONS[each == "max"] for each in modes]
    n_trials = sweep.n_trials if space.is_finite or sweep.n_trials else TRIALS
    return Goal(monitor, mode, metrics, directions, n_trials)

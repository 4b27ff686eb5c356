"""Everything about a configuration that can be found wrong before anything heavy is imported or written."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.redaction import is_secret_name
from workbench.common.workspace import options
from workbench.config.build import check
from workbench.config.compatibility import check_compatibility, hand_on
from workbench.config.hparams import refuse_unread, refuse_unread_keys
from workbench.config.optimizers import check_optimizer, check_schedule
from workbench.config.trainer_words import WORDS, check_trainer_words
from workbench.run.folder import weights_file
from workbench.run.metrics_file import better, like

# What the experiment hands to each target beside the keys of its node; in the order they are imported.
GIVEN = {
    "data": (),
    "model": ("in_features", "out_features", "image_shape", "patch_shape", "place_features"),
    "task": ("data", "network", "settings", "optimizers", "schedules", "seed"),
    "trainer": (),
}


def check_config(config: DictConfig) -> None:
    """Raise ConfigError for the first value, name or target that cannot be right.

    In order of what has to be imported: nothing, torch for data and network, Lightning for task and trainer.
    """
    _check_name(config.experiment_name)
    if not 0 <= config.seed < 2**32:
        raise ConfigError(f"seed: {config.seed} is not between 0 and {2**32 - 1}")
    OmegaConf.to_object(config.hparams)
    _check_secrets(OmegaConf.to_container(config, resolve=False), "")
    check_optimizer(config.hparams.optimizer, config.optimizers)
    check_schedule(config.hparams.schedule, config.schedules)
    if config.init_from and not config.resume:
        weights_file(Path(config.init_from))
    refuse_unread([config])
    refuse_unread_keys(config)
    for group in GIVEN:
        _check_names_target(config, group)
    check_trainer_words(config)
    if config.trainer.get("accelerator") in ("gpu", "cuda"):
        _check_gpus(config.trainer.get("devices", "auto"))
    for name, node in (config.loggers or {}).items():
        check(node, f"loggers.{name}", config.trusted_targets)
    handed_on = hand_on(config)
    for group, given in GIVEN.items():
        _check_group(handed_on, group, given)
    _check_options(config)
    _check_monitor(config.task)
    check_compatibility(config)


def _check_monitor(task: DictConfig) -> None:
    monitor = task.get("monitor")
    if monitor is not None and task.get("monitor_mode") is None and better(monitor) is None:
        raise ConfigError(
            f"task.monitor: {monitor} is not known by name{like(monitor)}; of a metric of your own say "
            "which is better, task.monitor_mode=min or max"
        )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w([\w .+-]*[\w.+-])?", name):
        raise ConfigError(
            f"experiment_name: {name!r} names a folder; use letters, digits, _ . + - and spaces between them"
        )


def _check_names_target(config: DictConfig, group: str) -> None:
    node = config[group]
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{group}: names no _target_; choose one of {', '.join(options(group))}")


def _check_group(config: DictConfig, group: str, given: Sequence[str]) -> None:
    node = config[group]
    if group == "trainer":  # whose words have been checked
        resolved: Any = OmegaConf.create(OmegaConf.to_container(node, resolve=True))
        node = OmegaConf.masked_copy(resolved, [key for key in node if key not in WORDS])
    check(node, group, config.trusted_targets, given)


def _check_options(config: DictConfig) -> None:
    """Bind what the tables of optimizers and schedules say of the chosen ones."""
    optimizer, schedule = config.hparams.optimizer, config.hparams.schedule
    target = {"_target_": f"torch.optim.{optimizer}", "_partial_": True}
    chosen = {f"optimizers.{optimizer}": {**target, **(config.optimizers.get(optimizer) or {})}}
    if schedule in config.schedules:
        chosen[f"schedules.{schedule}"] = {**config.schedules[schedule], "_partial_": True}
    for path, node in chosen.items():
        check(OmegaConf.create(node), path, [*config.trusted_targets, "pytorch_optimizer."])


def _check_gpus(devices: Any) -> None:
    import torch

    present = torch.cuda.device_count()
    if not present and not torch.backends.mps.is_available():
        raise ConfigError(
            "trainer.accelerator: there is no GPU here (or no driver); leave it at auto, or cpu"
        )
    if isinstance(devices, int) and devices > max(present, 1):
        raise ConfigError(f"trainer.devices: {devices} GPUs are asked for, and there are {max(present, 1)}")


def _check_secrets(node: Any, path: str) -> None:
    if isinstance(node, list):
        for number, value in enumerate(node):
            _check_secrets(value, f"{path}{number}.")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if is_secret_name(str(key)) and not isinstance(value, bool | None):  # as cls_token=true may be
            raise ConfigError(
                f"{path}{key}: a secret has no place in a configuration, which is kept and shared; "
                "set it in the environment or in .env, where its client looks for it"
            )
        _check_secrets(value, f"{path}{key}.")

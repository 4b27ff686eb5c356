"""Everything about a configuration that can be found wrong before anything heavy is imported or written."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from patchsets.build import check, nearest
from patchsets.data_root import data_root
from patchsets.errors import ConfigError
from patchsets.optimizers import check_optimizer
from patchsets.pairing import check_pairing
from patchsets.run import find_folder, load_config, weights_file
from patchsets.schema import Config
from patchsets.secrets import is_secret_name
from patchsets.workspace import options

# What Lightning would refuse only once torch is loaded and the run folder made.
TRAINER_WORDS = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "precision": (
        "auto", "16", "32", "64", "bf16", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "32-true",
        "64-true", "transformer-engine", "transformer-engine-float16",
    ),
    "strategy": ("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp", "fsdp_cpu_offload"),
}  # fmt: skip
FOLDERS = ("outputs", "resume", "repeat", "init_from")
SIZES = ("width", "depth", "heads", "points")  # of a network
# What the experiment hands to each target beside the keys of its node.
GIVEN = {
    "data": (),
    "model": ("in_features", "out_features", "image_shape"),
    "task": ("data", "network", "settings", "optimizers", "seed"),
    "trainer": (),
}


def choose_config(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration to run.

    1. `resume` or `repeat` name a run folder: its config.yaml, then the words typed beside them.
    2. Otherwise what Hydra composed.
    """
    for word in FOLDERS:
        if composed[word] == "":
            raise ConfigError(f"{word}: it is empty; name a folder, or leave {word}= out")
    config = _continued(composed, overrides)
    _check_root(config.data)
    if config.init_from:  # as a path of its own: once this run has a folder, `latest` is another one
        config.init_from = str(find_folder(config.init_from, "init_from"))
    return config


def _check_root(data: Any) -> None:
    """Refuse a folder of images that is not there; a model is loaded without it, so this is no part of it."""
    if not isinstance(data, DictConfig) or "root" not in data:
        return
    if not data_root(data.root).is_dir():
        raise ConfigError(f"data.root: there is no folder {data.root}")


def _continued(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    words = [word for word in ("resume", "repeat") if composed[word]]
    if not words:
        return composed
    if len(words) > 1:
        raise ConfigError(
            "resume and repeat: give one of them; resume continues a run, repeat starts it anew"
        )
    word = words[0]
    folder = find_folder(composed[word], word)
    config = read_config(folder)
    _apply(overrides, composed, config, word)
    config.resume, config.repeat = (str(folder), None) if word == "resume" else (None, str(folder))
    return config


def read_config(folder: Path) -> DictConfig:
    """Read the configuration of a run folder, types checked; raise ConfigError where it is damaged."""
    try:
        config = OmegaConf.merge(OmegaConf.structured(Config), load_config(folder))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{folder / 'config.yaml'}: {str(error).splitlines()[0]}") from error
    assert isinstance(config, DictConfig)
    return config


def _apply(overrides: Sequence[str], composed: DictConfig, config: DictConfig, word: str) -> None:
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if key in ("resume", "repeat"):
            continue
        if key.startswith("~") or key in ("data", "task"):
            raise ConfigError(
                f"{override}: {word} keeps the data and task of its run; change keys below them only"
            )
        OmegaConf.update(config, key, OmegaConf.select(composed, key), force_add=True)


def check_config(config: DictConfig) -> None:
    """Raise ConfigError for the first value, name or target that cannot be right."""
    _check_name(config.experiment_name)
    OmegaConf.to_object(config.hparams)
    _check_secrets(config, "")
    check_optimizer(config.hparams.optimizer, config.optimizers)
    if config.init_from:
        weights_file(Path(config.init_from))
    for group, given in GIVEN.items():
        _check_group(config, group, given)
    check_pairing(config)
    _check_trainer(config.trainer)
    for name, node in (config.loggers or {}).items():
        check(node, f"loggers.{name}", config.trusted_targets)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise ConfigError(
            f"experiment_name: {name!r} names a folder; use letters, digits, spaces and _ . + -"
        )


def _check_group(config: DictConfig, group: str, given: Sequence[str]) -> None:
    node = config[group]
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{group}: names no _target_; choose one of {', '.join(options(group))}")
    check(node, group, config.trusted_targets, given)
    for key in SIZES:
        value = node.get(key)
        if isinstance(value, int) and value < 1:
            raise ConfigError(f"{group}.{key}: {value} is not a number above 0")


def _check_trainer(node: DictConfig) -> None:
    for key, words in TRAINER_WORDS.items():
        if isinstance(node.get(key), DictConfig):
            continue
        word = str(node.get(key, "auto"))
        if word not in words:
            close = nearest(word, words) or f"; there is {', '.join(words)}"
            raise ConfigError(f"trainer.{key}: there is no {word}{close}")
    if not node.get("log_every_n_steps", 1):
        raise ConfigError("trainer.log_every_n_steps: 0 is not a number above 0")
    if node.get("accelerator") in ("gpu", "cuda"):
        _check_gpus(node.get("devices", "auto"))


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
    if not isinstance(node, DictConfig):
        return
    for key in map(str, node):
        if is_secret_name(key):
            raise ConfigError(
                f"{path}{key}: a secret has no place in a configuration, which is kept and shared; "
                "set it in the environment or in .env, where its client looks for it"
            )
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            _check_secrets(node[key], f"{path}{key}.")

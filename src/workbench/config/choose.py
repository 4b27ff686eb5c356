"""Which configuration is run: what Hydra composed, or an earlier run's with the words typed beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from workbench.common.errors import ConfigError
from workbench.common.workspace import data_root
from workbench.config.schema import schema
from workbench.config.upgrade import upgrade
from workbench.run.folder import find_folder

FOLDERS = ("outputs", "resume", "repeat", "init_from")


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
        config = OmegaConf.merge(schema(), load_config(folder))
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


def load_config(folder: Path) -> DictConfig:
    """Read the configuration a run was started with, interpolations intact.

    Raises ConfigError where it is damaged.
    """
    path = folder / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigError(f"{path}: it cannot be read ({type(error).__name__}); is it damaged?") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{path}: it holds no configuration; is it damaged?")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return OmegaConf.create(upgrade(plain))

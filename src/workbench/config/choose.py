"""Which configuration is run: what Hydra composed, or an earlier run's with the words typed beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from workbench.common.errors import ConfigError, data_root
from workbench.config.hparams import drop_unread, drop_unread_keys, read_keys, typed_keys
from workbench.config.schema import GROUPS, schema
from workbench.config.upgrade import upgrade
from workbench.run.folder import find_folder

KEPT_AT_RESUME = ("experiment_name", "init_from", "seed")
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
    if config.init_from and not config.resume:  # as a path: once this run has a folder, `latest` is another
        config.init_from = str(find_folder(config.init_from, "init_from"))
    return config


def _check_root(data: Any) -> None:
    """Refuse data that are not there; a model is loaded without them, so this is no part of it."""
    if not isinstance(data, DictConfig) or "root" not in data:
        return
    if not data_root(data.root).exists():
        raise ConfigError(f"data.root: there is no folder {data.root}")


def _continued(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    words = [word for word in ("resume", "repeat") if composed[word]]
    if not words:
        return composed
    if len(words) > 1:
        raise ConfigError(
            "resume and repeat: give one of them; resume continues a run, repeat starts a new one"
        )
    word = words[0]
    folder = find_folder(composed[word], word)
    config = read_config(folder)
    drop_unread_keys(config)
    _apply(overrides, composed, config, word)
    config.resume, config.repeat = (str(folder), None) if word == "resume" else (None, str(folder))
    return config


def read_config(folder: Path) -> DictConfig:
    """Read the configuration of a run folder that is believed; raise ConfigError where it is damaged.

    `strangers.py` reads one that is not: all but resume=, repeat= and the ranks of a run.
    """
    return with_types(folder, load_config(folder))


def with_types(folder: Path, config: DictConfig) -> DictConfig:
    """Return the configuration of a run folder with the types of the schema."""
    root = schema()
    OmegaConf.set_struct(root, False)  # a run may have had root keys of its own
    try:
        typed = OmegaConf.merge(root, config)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{folder / 'config.yaml'}: {str(error).splitlines()[0]}") from error
    assert isinstance(typed, DictConfig)
    return typed


def _apply(overrides: Sequence[str], composed: DictConfig, config: DictConfig, word: str) -> None:
    """Change a run's configuration by the words typed beside `word`; a group chosen again is replaced."""
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if key in ("resume", "repeat") or (word == "resume" and key == "outputs"):
            continue
        if key.startswith("~") or key in ("data", "task"):
            raise ConfigError(
                f"{override}: {word} keeps the data and task of its run; change keys below them only"
            )
        value = OmegaConf.select(composed, key)
        if word == "resume" and key in KEPT_AT_RESUME and value != config[key]:
            raise ConfigError(
                f"{override}: a run that goes on keeps its name, seed and weights; for a new run with its "
                f"weights type repeat={composed.resume} init_from={composed.resume} in place of resume="
            )
        is_of_a_part = key.partition(".")[0] in GROUPS
        if isinstance(value, DictConfig) and not is_of_a_part:  # composed, it holds defaults too
            value = OverridesParser.create().parse_override(override).value()
        OmegaConf.update(config, key, value, merge=not is_of_a_part, force_add=True)
        if key in GROUPS:
            _exchange_hparams(config, composed, overrides)


def _exchange_hparams(config: DictConfig, composed: DictConfig, overrides: Sequence[str]) -> None:
    """Add the hyper-parameters that a part chosen anew reads, and drop those that only the old one read."""
    for name in read_keys(config) - set(config.hparams):
        if name in composed.hparams:
            config.hparams[name] = composed.hparams[name]
    drop_unread(config, typed_keys(overrides))


def load_config(folder: Path) -> DictConfig:
    """Read the configuration a run was started with, interpolations intact.

    Raises ConfigError where it is damaged.
    """
    return OmegaConf.create(upgrade(load_plain(folder)))


def load_plain(folder: Path) -> dict[str, Any]:
    """Read what a run folder's config.yaml holds, as it is written."""
    path = folder / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigError(f"{path}: it cannot be read ({type(error).__name__}); is it damaged?") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{path}: it holds no configuration; is it damaged?")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return plain

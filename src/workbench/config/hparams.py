"""Hyper-parameters belong to the parts that read them: `${hparams.heads}` in a node of the configuration.

The schema declares those that every run has. A part's YAML adds its own, with their defaults. A key that only
a preset suggests, and no chosen part reads, is dropped; one that was typed is refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from workbench.common.errors import ConfigError, nearest, nearest_key
from workbench.config.schema import Config, Hparams, Sweep

READ = re.compile(r"\$\{hparams\.(\w+)")
ROOT_KEYS = {field.name for field in fields(Hparams)}


def read_keys(config: Any) -> set[str]:
    """Return the hyper-parameters of a configuration that every run has, and those that some node reads."""
    plain: Any = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    plain = {key: value for key, value in plain.items() if key != "hydra"}
    return {*ROOT_KEYS, *READ.findall(str(plain))}


def unread(config: Any) -> list[str]:
    """Return the hyper-parameters that nothing reads."""
    known = read_keys(config)
    return [str(key) for key in config["hparams"] if str(key) not in known]


def drop_unread(config: DictConfig, typed: Sequence[str] = ()) -> None:
    """Remove what nothing reads, but for the keys that were `typed`."""
    with flag_override(config.hparams, ["struct", "readonly"], [False, False]):
        for key in unread(config):
            if key not in typed:
                del config.hparams[key]


def typed_keys(overrides: Sequence[str]) -> list[str]:
    """Return the hyper-parameters that overrides name."""
    words = (word.lstrip("+~").partition("=")[0] for word in overrides)
    return [word.split(".")[1] for word in words if word.startswith("hparams.")]


def refuse_unread(configs: Sequence[DictConfig]) -> None:
    """Raise ConfigError, with the nearest name, for a hyper-parameter that no configuration reads."""
    known = set().union(*(read_keys(config) for config in configs))
    for key in (str(key) for config in configs for key in config.hparams):
        if key not in known:
            if close := nearest(key, sorted(known), prefix="hparams."):
                raise ConfigError(f"hparams.{key}: there is no such key{close}")
            there = ", ".join(sorted(known))
            raise ConfigError(f"hparams.{key}: no part of this run reads it; there is {there}")


def refuse_unread_keys(config: DictConfig) -> None:
    """Raise ConfigError, with the nearest name, for a key beside `hparams` that nothing reads.

    A root key of one's own counts where a value of the configuration reads it: `${mine.width}`.
    """
    for path, key, known in _unread_keys(config):
        words = [*known, *(f"hparams.{name}" for name in config.hparams)]
        raise ConfigError(f"{path}{key}: nothing reads it{nearest_key(key, words) or _there(known)}")
    for name, options in config.schedules.items():
        if not isinstance(options, DictConfig) or "_target_" not in options:
            raise ConfigError(f"schedules.{name}: it names no _target_")


def drop_unread_keys(config: DictConfig) -> None:
    """Remove the keys beside `hparams` that nothing reads: version 0.1 took any."""
    for path, key, _ in list(_unread_keys(config)):
        del (config.sweep if path else config)[key]


def _unread_keys(config: DictConfig) -> Iterator[tuple[str, str, list[str]]]:
    text = str(OmegaConf.to_container(config, resolve=False))
    for path, node, kind in (("", config, Config), ("sweep.", config.sweep, Sweep)):
        known = [field.name for field in fields(kind)]
        for key in (str(key) for key in node if str(key) not in known):
            if not re.search(rf"\$\{{[^}}]*\b{re.escape(path + key)}\b", text):
                yield path, key, known


def _there(known: Sequence[str]) -> str:
    return f"; there is {', '.join(known)}"

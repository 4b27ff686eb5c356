"""What Hydra and OmegaConf say about a wrong override, as one line with the nearest right name."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from workbench.common.errors import nearest, nearest_key
from workbench.common.workspace import ROOT, options
from workbench.config.signatures import signature

NULL_GROUP = "Config group override must be"  # how a ValueError of Hydra's begins
TWO_MODES = "Only one of --run, --multirun, --cfg"  # and another
SWEEPS = {"interval(": "'interval(0.001,0.1)'", "range(": "'range(1,10)'", "choice(": "'choice(a,b)'"}


def is_config_error(error: Exception) -> bool:
    """Tell whether Hydra or OmegaConf refused what was typed."""
    return isinstance(error, (HydraException, OmegaConfBaseException)) or str(error).startswith(
        (NULL_GROUP, TWO_MODES)
    )


def explain(error: Exception) -> str:
    """Return one line for a person who typed a wrong override."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, OverrideParseException):
            key, _, value = (cause.override or "").partition("=")
            if value.startswith(tuple(SWEEPS)):
                return f"{cause.override} cannot be read: write {key}={SWEEPS[value.partition('(')[0] + '(']}"
            if place := re.fullmatch(r"([^\[]+)\[(\d+)\]", key):
                return f"{key}: an element of a list is written with a dot: {place[1]}.{place[2]}={value}"
            if not key.isascii():
                return f"{key}: a key has letters a to z, digits and _ . -; a value may have any, in quotes"
            if value.endswith("()"):
                return f"{cause.override}: there is nothing to choose from; write {value[:-1]}...)"
            return f"{cause.override} cannot be read: write key=value, perhaps \"{key}='{value}'\""
        if isinstance(cause, MissingConfigException):
            return _missing_option(cause)
    text = str(error)
    if text.startswith(NULL_GROUP):
        group = next(word for word in sys.argv[1:] if word.endswith("=null")).removesuffix("=null")
        none = "'loggers=[]' for none, or " if group == "loggers" else ""
        return f"{group}=null: write {none}one of {', '.join(options(group))}"
    if text.startswith(TWO_MODES):
        return "-m: leave it out beside --cfg and --info, which show one configuration"
    if found := re.search(r"Could not delete '(.*?)'", text):
        none = f"; '{found[1]}=[]' is none" if found[1] == "loggers" else ""
        return f"~{found[1]}: a run needs one; choose another by {found[1]}={none}"
    if found := re.search(r"Ambiguous value for argument '(.*?)'", text):
        key, _, values = found[1].partition("=")
        return f"{found[1]}: several values need -m, or, for a list, {key}=[{values}]"
    if found := re.search(r"Sweep parameters? (.*?) requires --multirun", text):
        return f"{found[1].strip(chr(39))}: a sweep needs -m"
    if unknown := _unknown_key(text):
        config = _composed()
        if target := _taker(config, unknown):
            return f"{unknown}: its preset does not set it, but {target} takes it: write +{unknown}=..."
        return f"{unknown}: there is no such key{nearest_key(unknown, list(_walk(config, '')))}"
    for cause in chain:
        if isinstance(cause, InterpolationKeyError):
            missing = re.findall(r"'(.*?)'", str(cause))[0]
            return f"{cause.full_key}: it reads {missing}, which this configuration does not have"
        if isinstance(cause, OmegaConfBaseException):
            return f"{cause.full_key or 'config'}: {str(cause).splitlines()[0]}"
    return " ".join(text.split())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unknown_key(text: str) -> str | None:
    found = re.search(
        r"(?:Could not override|Could not delete from config\.) '?([^'\s]+?)'?\.?(?:\s|$)", text
    )
    return found and found[1].rstrip("'.")


def _missing_option(error: MissingConfigException) -> str:
    wanted = (error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, option = wanted.rpartition("/")
    known = error.options or (options(group) if group else [])
    if not wanted:
        return " ".join(str(error).split())
    if not group:
        place = "the folders of --config-path and --config-dir, or config/"
        return f"{wanted}: there is no {wanted}.yaml in {place}"
    if not known:
        return f"{wanted}: there is no such config; groups are " + ", ".join(sorted(_groups()))
    close = nearest(option, known) or f"; there is {', '.join(known)}"
    return f"{group}: there is no {option}{close}"


def _groups() -> list[str]:
    return [folder.name for folder in (ROOT / "config").iterdir() if folder.is_dir()]


def _composed() -> DictConfig:
    """Return the configuration, composed with the groups of the command line."""
    groups = [word for word in sys.argv[1:] if word.partition("=")[0] in _groups()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        try:
            return compose("config", overrides=groups)
        except ConfigCompositionException:
            return compose("config")


def _taker(config: DictConfig, key: str) -> str | None:
    """Return the target that takes a key which its preset leaves at its default."""
    path, _, name = key.rpartition(".")
    node = OmegaConf.select(config, path) if path else None
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    return target if target and name in signature(target).parameters else None


def _walk(node: DictConfig, path: str) -> Iterator[str]:
    key: Any
    for key in node:
        yield f"{path}{key}"
        below = (
            None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        )
        if isinstance(below, DictConfig):
            yield from _walk(below, f"{path}{key}.")

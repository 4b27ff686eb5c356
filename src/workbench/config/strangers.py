"""A run folder that anybody may have made is read as data, and what is built of it is looked at first.

Only resume= and repeat= believe a folder; all else goes by what this workspace's own config/ says.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from workbench.common.errors import ConfigError
from workbench.common.workspace import ROOT
from workbench.config.build import TRUSTED, targets
from workbench.config.choose import load_plain, with_types
from workbench.config.signatures import locate
from workbench.config.upgrade import upgrade

OURS = ("patchsets.",)
CLOSED = "$ {"  # in place of ${ where that would call something
FUNCTIONAL = ("torch.nn.functional.", "torchmetrics.functional.")  # functions of tensors, to be called later


def read_stranger(folder: Path, trusted: Sequence[str] = (), to_build: bool = False) -> DictConfig:
    """Read a run folder's configuration; what it says of trust, and reads of this machine, is left out.

    Its `trusted_targets` become those of config/config.yaml and `trusted`. `${oc.env:...}` and its like
    become texts; `to_build` lets those through that this workspace's config/ has under the same key.
    Raises ConfigError where it is damaged.
    """
    plain = as_stranger(load_plain(folder), trusted, _own_reads() if to_build else frozenset())
    return with_types(folder, OmegaConf.create(plain))


def as_stranger(
    plain: dict[str, Any], trusted: Sequence[str] = (), allowed: frozenset[tuple[str, str]] = frozenset()
) -> dict[str, Any]:
    """Return the plain values of a stranger's config.yaml as `read_stranger` would have them."""
    closed = _literal(plain, "", allowed)
    return upgrade({**closed, "trusted_targets": [*_own_trust(), *trusted]})


@cache
def _own_trust() -> tuple[str, ...]:
    own: Any = OmegaConf.load(ROOT / "config" / "config.yaml")
    return tuple(own.get("trusted_targets") or ())


@cache
def _own_reads() -> frozenset[tuple[str, str]]:
    """Return what this workspace's configuration reads of the machine, by key: `root: ${oc.env:DATASET}`."""
    line = re.compile(r"^\s*(\w+):\s*(\S*\$\{[\w.]+:.*?)\s*(?:\s#.*)?$", re.MULTILINE)
    files = (ROOT / "config").rglob("*.yaml")
    return frozenset(found for file in files for found in line.findall(file.read_text(encoding="utf-8")))


def _literal(node: Any, key: str, allowed: frozenset[tuple[str, str]]) -> Any:
    """Return plain values in which an interpolation only reads other keys; any other becomes a text."""
    if isinstance(node, dict):
        return {name: _literal(value, str(name), allowed) for name, value in node.items()}
    if isinstance(node, list):
        return [_literal(item, key, allowed) for item in node]
    if not isinstance(node, str) or (key, node) in allowed or "${" not in _without_keys(node):
        return node
    return node.replace("${", CLOSED)  # an escaped one would be live again once Hydra has resolved it


def as_written(value: Any) -> Any:
    """Return a value of a stranger's configuration as it stands in its file, to be shown or compared."""
    if isinstance(value, dict):
        return {key: as_written(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_written(each) for each in value]
    return value.replace(CLOSED, "${") if isinstance(value, str) else value


def _without_keys(text: str) -> str:
    """Cut out `${a.b}`, also within another one: what is left calls something."""
    shorter = re.sub(r"\$\{[\w.\[\]-]*\}", "", text)
    return shorter if shorter == text else _without_keys(shorter)


def admit(node: Any, path: str, kind: Any, trusted: Sequence[str]) -> None:
    """Raise ConfigError unless a node names a `kind`, and every node below it a part such as it may have.

    In this order: the prefix of each target, its import, its kind. Nothing is called. A kind is a class, or a
    protocol, whose methods count. Parts are modules, and functions of tensors.
    """
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"{path}: names no _target_")
    allowed = (*TRUSTED, *trusted)
    try:
        found = [(place, str(each["_target_"])) for place, each in targets(node, path)]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    for place, target in found:
        if not target.startswith(allowed):
            raise ConfigError(
                f"{place}._target_: {target} is not under {', '.join(allowed)}; if you trust it, add its "
                "prefix to trusted_targets in config/config.yaml: the run folder's own are not believed"
            )
    for place, target in found:
        try:
            locate(target)
            called = get_object(target)  # as Hydra will find it
        except Exception as error:
            raise ConfigError(f"{place}._target_: {target} cannot be imported: {error}") from error
        is_right = _is_kind(called, kind) if place == path else _is_part(called, target)
        if not is_right and not _is_of(called, trusted):
            wanted = kind.__name__ if place == path else "module, and no function of tensors"
            raise ConfigError(
                f"{place}._target_: {target} is no {wanted}: a run folder may name nothing else here"
            )


def _is_of(called: Any, prefixes: Sequence[str]) -> bool:
    """Tell whether it was written under one of the prefixes: a name may lead through a module elsewhere."""
    return f"{getattr(called, '__module__', None)}.".startswith(tuple(prefixes))


def _is_kind(called: Any, kind: Any) -> bool:
    """Tell a class of a kind, its own `Class.method`, or our function that says that it returns one."""
    if inspect.isclass(called):
        return _has_kind(called, kind)
    if not _is_of(called, OURS):
        return False
    made = called.__self__ if inspect.ismethod(called) else _returned(called)
    return inspect.isclass(made) and _has_kind(made, kind)


def _is_part(called: Any, target: str) -> bool:
    from torch import Tensor, nn

    if inspect.isroutine(called) and target.startswith(FUNCTIONAL):
        return _is_of(called, (*FUNCTIONAL, "torch._C._nn."))
    return _is_kind(called, nn.Module) or (not inspect.isclass(called) and _is_kind(called, Tensor))


def _has_kind(found: type, kind: Any) -> bool:
    if not getattr(kind, "_is_protocol", False):
        return issubclass(found, kind)
    return all(hasattr(found, name) for name in vars(kind) if not name.startswith("_"))


def _returned(function: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(function).get("return")
    except Exception:  # none, or names that only a type checker imports
        return None

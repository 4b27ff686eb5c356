"""From a node of the configuration to an object: the only place that calls Hydra's instantiate."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from inspect import Parameter, Signature
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError

from workbench.common.errors import ConfigError, UserError, nearest
from workbench.config.signatures import refusal, signature

TRUSTED = (
    "patchsets.",
    "workbench.",
    "torch.",
    "pytorch_lightning.",
    "torchmetrics.",
    "kornia.augmentation.",
)


def build(node: Any, path: str, trusted: Sequence[str] = (), **arguments: Any) -> Any:
    """Check the node that stands at `path` and make the object its `_target_` names.

    `arguments` are handed on as they are beside the node's own keys. Raises ConfigError where a target is not
    trusted, does not exist, or does not take what it is given.
    """
    check(node, path, trusted, given=arguments)
    make = _maker(node)
    try:
        return make(**arguments)
    except UserError:
        raise
    except (ValueError, TypeError, ImportError) as error:  # of the class itself: it knows its limits
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error


def build_later(
    node: Any, path: str, trusted: Sequence[str] = (), given: Sequence[str] = ()
) -> Callable[..., Any]:
    """Check like `build`, and return what makes the object once the arguments called `given` are known."""
    check(node, path, trusted, given)
    return _maker(node)


def _maker(node: Any) -> Callable[..., Any]:
    try:
        return hydra.utils.instantiate(_without_unset(node), _convert_="all", _partial_=True)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):  # of a target below this one, which is made at once
            raise error.__cause__ from None
        raise


def _without_unset(node: DictConfig) -> DictConfig:
    """Leave out what is null and not taken: a word of a preset, whose class was replaced by another."""
    expected = signature(str(node["_target_"]))
    if _is_open_ended(expected):
        return node
    taken = node.copy()
    for key in [str(key) for key in node if str(key) not in (*RESERVED, *expected.parameters)]:
        with open_dict(taken):
            del taken[key]
    return taken


def _is_open_ended(expected: Signature) -> bool:
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in expected.parameters.values())


def check(node: Any, path: str, trusted: Sequence[str] = (), given: Collection[str] = ()) -> None:
    """Import the target at `path`, and every target below it, and bind what each is given; make nothing."""
    try:
        for place, found in targets(node, path):
            _check_target(found, place, trusted, given if place == path else ())
    except InterpolationKeyError as error:
        missing = re.findall(r"'(.*?)'", str(error))[0]
        raise ConfigError(
            f"{error.full_key}: it reads {missing}, which this configuration does not have; "
            "give it a value in the YAML that reads it"
        ) from error


def leave_out_weights(node: Any) -> None:
    """Let no part of a network look for weights: those it learned with are in the checkpoint."""
    for _, part in targets(node, "model"):
        if isinstance(part.get("weights"), str):
            part.weights = None
        if part.get("pretrained"):
            part.pretrained = False


def targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    """Give each node with a `_target_`, at `path` and below it, with its place."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield path, node
        for key in node:  # a whole number, in a mapping of epochs
            yield from targets(node[key], f"{path}.{key!s}")
    elif isinstance(node, ListConfig):
        for place, item in enumerate(node):
            yield from targets(item, f"{path}[{place}]")


def _check_target(node: DictConfig, path: str, trusted: Sequence[str], given: Collection[str]) -> None:
    target = str(node["_target_"])
    if not target.startswith((*TRUSTED, *trusted)):
        allowed = ", ".join((*TRUSTED, *trusted))
        raise ConfigError(
            f"{path}._target_: {target} is not under {allowed}; add its prefix to trusted_targets to allow it"
        )
    try:
        expected = signature(target)
    except ImportError as error:
        raise ConfigError(f"{path}._target_: {target} cannot be imported: {error}") from error
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    own = {str(key): value for key, value in values.items() if str(key) not in RESERVED}
    _check_arguments(own, node, path, target, expected)
    _check_complete(node, path, target, expected, {*own, *given})


RESERVED = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")


def _check_arguments(
    own: dict[str, Any], node: DictConfig, path: str, target: str, expected: Signature
) -> None:
    parameters = expected.parameters
    open_ended = _is_open_ended(expected)
    for key, value in own.items():
        if key not in parameters:
            if open_ended or value is None:
                continue
            raise ConfigError(f"{path}.{key}: {target} takes no {key}{nearest(key, list(parameters))}")
        if wanted := refusal(parameters[key].annotation, value):
            raise ConfigError(f"{_typed_as(node, path, key)}: {value!r} is not {wanted}")


def _typed_as(node: DictConfig, path: str, key: str) -> str:
    """Return the hyper-parameter that a key reads, which is what a person types; else the key's own path."""
    raw = OmegaConf.to_container(node, resolve=False)
    assert isinstance(raw, dict)
    read = re.fullmatch(r"\$\{(hparams\.\w+)\}", str(raw[key]))
    return read[1] if read else f"{path}.{key}"


def _check_complete(node: DictConfig, path: str, target: str, expected: Signature, present: set[str]) -> None:
    if node.get("_partial_") or node.get("_args_"):
        return
    variable = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    for name, parameter in expected.parameters.items():
        if parameter.default is Parameter.empty and parameter.kind not in variable and name not in present:
            raise ConfigError(f"{path}.{name}: missing; {target} needs it")

"""Whether a task, its data and its network can work together: known from their classes, before any is made.

What is no class (a factory function, a class method) is let through.
"""

import inspect
from functools import partial
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, open_dict

from workbench.common.errors import ConfigError
from workbench.config.build import RESERVED, TRUSTED
from workbench.config.signatures import locate, signature, signature_of


def hand_on(config: DictConfig) -> DictConfig:
    """Return a configuration whose task has what its network does not take of the model's keys, and it does.

    So `model.encoder` is one word for every network: what has no place for one gets its task's. A key that
    says nothing (null), and that neither takes, is left out.
    """
    model, task = config.model, config.task
    names = [str(node.get("_target_")) for node in (model, task)]
    if not all(name.startswith((*TRUSTED, *config.trusted_targets)) for name in names):
        return config
    try:
        taken, by_task = (signature(name).parameters for name in names)
    except ImportError:  # which the check of the node says
        return config
    config = config.copy()
    with open_dict(config):
        for key in [str(key) for key in model if str(key) not in (*RESERVED, *taken)]:
            if key in by_task and key not in task:
                config.task[key] = config.model.pop(key)
            elif model[key] is None:
                del config.model[key]
    return config


def check_compatibility(config: DictConfig) -> None:
    """Raise ConfigError where data or network lack what the task asks of them, or do not fit each other."""
    task, data, network = (locate(str(config[group]["_target_"])) for group in ("task", "data", "model"))
    if not inspect.isclass(task):
        return
    needs = getattr(task, "needs", None)
    if needs is None:
        _check_input(config.data, data, network)
        _check_encoder(config.model, data, network)
        return
    if inspect.isclass(data) and not all(hasattr(data, name) for name in getattr(task, "needs_of_data", ())):
        raise ConfigError(
            f"data: {_name(task)} needs good images to learn from and defects to find, and {_name(data)} "
            "has none; try data=anomaly_demo, or data=anomaly for your own"
        )
    missing = [name for name in needs if not hasattr(network, name)]
    if inspect.isclass(network) and missing:
        raise ConfigError(
            f"model: {_name(task)} needs a network with {', '.join(missing)}, and {_name(network)} has "
            "none; leave model= out to get the task's own"
        )


def _check_input(node: DictConfig, data: Any, network: Any) -> None:
    """Raise ConfigError where a network takes whole images and is given sets, or the other way round."""
    if inspect.isclass(network) and hasattr(network, "maps"):
        raise ConfigError(f"model: {_name(network)} finds anomalies; it wants task=autoencoder or its like")
    if takes_patches(network) and inspect.isclass(data) and not hasattr(data, "as_patches"):
        raise ConfigError("model: it takes patches of images, and these data have none")
    taken = "Sets" if takes_patches(network) else _taken(network)
    given = _given(data)
    if taken not in ("Tensor", "Sets") or given is None:
        return
    has_patches = "patch_size" in node
    is_whole = node.patch_size is None if has_patches else given == "ImageBatch"
    if taken == "Tensor" and not is_whole:
        way = "which data.patch_size=null leaves whole" if has_patches else "and these data have none"
        raise ConfigError(f"model: it takes whole images, {way}")
    if taken == "Sets" and is_whole:
        way = "data.patch_size=null makes none: give one" if has_patches else "these data are whole images"
        raise ConfigError(f"model: it takes sets of patches; {way}, or take model=cnn")


def _check_encoder(node: DictConfig, data: Any, network: Any) -> None:
    """Raise ConfigError for an encoder that has nothing to look at or to tell, and where one is missing."""
    if node.get("encoder") is None:
        if getattr(network, "takes_vectors", False):
            raise ConfigError(
                "model: it takes what an encoder makes of whole images; say which: model.encoder=lite0"
            )
    elif inspect.isclass(data) and not hasattr(data, "as_patches"):
        raise ConfigError(f"model.encoder: it looks at images, and {_name(data)} has none that are labelled")
    elif takes_patches(network):
        raise ConfigError("model.encoder: this network looks at the patches itself; leave the encoder out")


def takes_patches(network: Any) -> bool:
    """Tell whether a network, by what makes it, takes patches `[C, h, w]`; any other takes vectors."""
    made = network.func if isinstance(network, partial) else network
    return callable(made) and "patch_shape" in signature_of(made).parameters


def _taken(network: Any) -> str | None:
    """Return the name of the type of what a network is given."""
    hints = _hints(getattr(network, "forward", None)) if inspect.isclass(network) else {}
    return next((_name(hint) for name, hint in hints.items() if name != "return"), None)


def _given(data: Any) -> str | None:
    """Return the name of the type of the batches that data make."""
    hint = _hints(getattr(data, "make_batch", None)).get("return")
    return None if hint is None else " | ".join(_name(part) for part in get_args(hint) or (hint,))


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # none, a builtin, or names that only a type checker imports
        return {}


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))

"""Whether a task, its data and its network can work together: known from their source, before any is made.

What has no source that is found (a factory function, a class of a compiled module) is let through.
"""

import ast

from omegaconf import DictConfig

from workbench.common.errors import ConfigError
from workbench.config.ancestry import ancestry, constant, members, method


def check_pairing(config: DictConfig) -> None:
    """Raise ConfigError where data or network lack what the task asks of them, or do not fit each other."""
    task, data, network = (str(config[group]["_target_"]) for group in ("task", "data", "model"))
    if not ancestry(task):
        return
    needs = constant(task, "needs")
    if needs is None:
        _check_input(config.data, data, network)
    else:
        _check_data(task, data, constant(task, "needs_of_data") or ())
        _check_network(task, network, needs)


def _check_data(task: str, data: str, needs: tuple[str, ...]) -> None:
    if ancestry(data) and not members(data).issuperset(needs):
        raise ConfigError(
            f"data: {_short(task)} needs good images to learn from and defects to find, and {_short(data)} "
            "has none; try data=anomaly_demo, or data=anomaly for your own"
        )


def _check_network(task: str, network: str, needs: tuple[str, ...]) -> None:
    missing = [name for name in needs if name not in members(network)]
    if ancestry(network) and missing:
        raise ConfigError(
            f"model: {_short(task)} needs a network with {', '.join(missing)}, and {_short(network)} has "
            "none; leave model= out to get the task's own"
        )


def _check_input(node: DictConfig, data: str, network: str) -> None:
    """Raise ConfigError where a network takes whole images and is given sets, or the other way round."""
    if "maps" in members(network):
        raise ConfigError(f"model: {_short(network)} finds anomalies; it wants task=autoencoder or its like")
    taken, given = _taken(network), _given(data)
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


def _taken(network: str) -> str | None:
    """Return the type of what a network is given."""
    forward = method(network, "forward")
    annotation = forward.args.args[1].annotation if forward and len(forward.args.args) > 1 else None
    return ast.unparse(annotation) if annotation else None


def _given(data: str) -> str | None:
    """Return the type of the batches that data make."""
    make_batch = method(data, "make_batch")
    return ast.unparse(make_batch.returns) if make_batch and make_batch.returns else None


def _short(target: str) -> str:
    return target.rpartition(".")[2]

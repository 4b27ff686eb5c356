"""From a run folder back to a network; nothing in a checkpoint is executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.common.errors import UserError
from workbench.run.folder import weights_file


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to resume from; None where the run stopped before its first epoch ended.

    Raises UserError where it is damaged, or the best one, which the run needs at its end.
    """
    last, best = (folder / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    if best.is_file():
        read_checkpoint(best, "remove it to go on without the best epoch so far")
    if not last.is_file():
        return None
    read_checkpoint(
        last, f"copy {best.name} over it to go on from there" if best.is_file() else "remove it to begin anew"
    )
    return last


def load_weights(folder: Path) -> Mapping[str, Tensor]:
    """Return the weights of a run's network, by preference the best, by name; plain tensors only are read.

    Raises UserError where the run has no checkpoint or its file is damaged.
    """
    state = read_checkpoint(weights_file(folder))["state_dict"]
    return {
        name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")
    }


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a network; raise UserError where they are another's, naming the first to differ."""
    if difference := difference_to(network, weights):
        raise UserError(
            f"init_from: those weights are another network's ({difference}); "
            "choose the model and hparams they were trained with"
        )
    network.load_state_dict(weights)


def difference_to(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Say in which tensor a network and weights by name differ first; nothing where they fit."""
    own = network.state_dict()
    for name in [*own, *weights]:
        here, there = (list(state[name].shape) if name in state else "nothing" for state in (own, weights))
        if here != there:
            return f"{name} is {there} there and {here} here"
    return ""


def read_checkpoint(path: Path, remedy: str = "") -> dict[str, Any]:
    """Read a checkpoint of plain values and tensors; raise UserError, with a remedy, where it is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: this checkpoint cannot be read ({type(error).__name__}); is it damaged?"
            + (f" If so, {remedy}" if remedy else "")
        ) from error

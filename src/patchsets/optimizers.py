"""Optimizers and learning-rate schedules by name."""

import ast
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchsets.build import nearest
from patchsets.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def check_optimizer(name: str, table: Mapping[str, Any]) -> None:
    """Raise ConfigError, with the nearest right name, unless the name is torch.optim's or in the table."""
    known = optimizer_names(table)
    if name not in known:
        raise ConfigError(f"hparams.optimizer: there is no {name}{nearest(name, known)}")


def optimizer_names(table: Mapping[str, Any]) -> list[str]:
    """Return the names an optimizer can have: torch.optim's and those in the table."""
    return sorted({*_torch_names(), *table})


def _torch_names() -> list[str]:
    """Read torch.optim's public names from its source: importing torch takes a second."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / "optim" / "__init__.py").read_text(encoding="utf-8"))
    names = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return sorted({name for name in names if name[0].isupper() and name != "Optimizer"})


def make_optimizer(
    parameters: "Iterable[Tensor]",
    name: str,
    learning_rate: float,
    weight_decay: float,
    table: Mapping[str, Any],
) -> "Optimizer":
    """Make the optimizer called `name`, with what the table says it needs beyond its learning rate."""
    from hydra.utils import get_class

    extra = dict(table.get(name) or {})
    make: Any = get_class(extra.pop("_target_", f"torch.optim.{name}"))
    if "weight_decay" in inspect.signature(make).parameters:
        extra["weight_decay"] = weight_decay
    elif weight_decay:
        raise ConfigError(f"hparams.weight_decay: {name} takes none; set it to 0")
    try:
        return make(parameters, lr=learning_rate, **extra)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizers.{name}: {error}") from error


def make_schedule(name: str, optimizer: "Optimizer", steps: int) -> "LRScheduler":
    """Make the schedule called `name` over all steps: `cosine` to zero, or `one_cycle` (Smith, 2018)."""
    from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    return OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=steps)

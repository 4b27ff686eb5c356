"""Optimizers and learning-rate schedules by name."""

import ast
import importlib.util
import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.common.errors import ConfigError, nearest

SCHEDULES = ("cosine", "one_cycle")  # of the learning rate

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def check_optimizer(name: str, table: Mapping[str, Any]) -> None:
    """Raise ConfigError, with the nearest right name, unless the name is torch.optim's or in the table.

    A name in the table is torch.optim's, or says by `_target_` where it lives.
    """
    known = optimizer_names(table)
    if name not in known:
        raise ConfigError(f"hparams.optimizer: there is no {name}{nearest(name, known)}")
    for listed, options in table.items():
        if listed not in (torch_names := _torch_names()) and "_target_" not in (options or {}):
            raise ConfigError(
                f"optimizers.{listed}: there is no such optimizer{nearest(listed, torch_names)}"
            )


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


def check_schedule(name: str | None, table: Mapping[str, Any]) -> None:
    """Raise ConfigError, with the nearest right name, unless the schedule is one of ours or in the table."""
    known = [*SCHEDULES, *table]
    if name is not None and name not in known:
        close = nearest(name, known)
        raise ConfigError(f"hparams.schedule: {name!r} is not {', '.join(known)} or null{close}")


def make_optimizer(
    groups: list[dict[str, Any]], settings: Mapping[str, Any], table: Mapping[str, Any]
) -> "Optimizer":
    """Make the optimizer that `settings` name, with what the table says it needs beyond its learning rate."""
    from hydra.utils import get_class

    name, weight_decay = settings["optimizer"], settings["weight_decay"]
    extra = dict(table.get(name) or {})
    make: Any = get_class(extra.pop("_target_", f"torch.optim.{name}"))
    if "weight_decay" in inspect.signature(make).parameters:
        extra["weight_decay"] = weight_decay
    elif weight_decay:
        raise ConfigError(f"hparams.weight_decay: {name} takes none; set it to 0")
    try:
        return make(groups, lr=settings["learning_rate"], **extra)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizers.{name}: {error}") from error


def make_schedule(
    optimizer: "Optimizer", steps: float, settings: Mapping[str, Any], table: Mapping[str, Any]
) -> "LRScheduler | None":
    """Make the learning-rate schedule that `settings` name, over all steps of the run; None for none.

    `cosine` to zero, `one_cycle` (Smith, 2018), or a name of the table: a class of
    torch.optim.lr_scheduler, or a function of (step, all steps) that returns the share of the rate.
    `warmup_steps` raise the rate evenly before it.
    """
    from torch.optim.lr_scheduler import LambdaLR, LinearLR, SequentialLR

    name, warmup = settings["schedule"], int(settings.get("warmup_steps") or 0)
    if warmup >= steps:
        raise ConfigError(f"hparams.warmup_steps: {warmup} are not fewer than the run's {steps} steps")
    if not warmup:
        return None if name is None else _schedule(name, optimizer, steps, table)
    rising = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    if name is None:
        after: Any = LambdaLR(optimizer, lambda step: 1.0)
    else:
        after = _schedule(name, optimizer, steps - warmup, table)
    return _by_step(SequentialLR)(optimizer, [rising, after], milestones=[warmup])


def _schedule(name: str, optimizer: "Optimizer", steps: float, table: Mapping[str, Any]) -> "LRScheduler":
    from hydra.utils import get_object
    from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

    if name in table:
        options = dict(table[name])
        make: Any = get_object(options.pop("_target_"))
        try:
            if inspect.isroutine(make):
                return _by_step(LambdaLR)(optimizer, lambda step: make(step, steps, **options))
            schedule: LRScheduler = _by_step(make)(optimizer, **options)
            return schedule
        except (TypeError, ValueError) as error:
            raise ConfigError(f"schedules.{name}: {error}") from error
    if name == "cosine":
        return _by_step(CosineAnnealingLR)(optimizer, T_max=int(steps))
    rates = [group["lr"] for group in optimizer.param_groups]
    return _by_step(OneCycleLR)(optimizer, max_lr=rates, total_steps=int(steps))


class ByStep:
    """A schedule that follows from its configuration and the step alone: a checkpoint holds none of it.

    So a resumed run goes by the schedule that its configuration names now, not by the one it began with.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing; `go_to` takes a resumed run to its step."""


def _by_step(kind: type) -> Any:
    return type(kind.__name__, (ByStep, kind), {})


def go_to(schedule: Any, step: int) -> None:
    """Take a schedule that has just been made to a step, by the steps that a run would have taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch expects a step of the optimizer before each
        for _ in range(step):
            schedule.step()


MOVED = ("lr", "initial_lr", "max_lr", "min_lr", "betas", "momentum", "max_momentum", "base_momentum")


def obey(optimizer: "Optimizer", asked: Sequence[Mapping[str, Any]], schedule: Any = None) -> None:
    """Give an optimizer whose state was restored the options that are `asked` for now, group by group.

    What it counts for itself in a group, which is no argument of its class, stays as restored. A
    `schedule` of a task's own, restored too, goes on from where it was, in proportion to the new rate.
    """
    left = optimizer.defaults.keys() - inspect.signature(type(optimizer)).parameters.keys()
    if schedule is not None:
        left |= set(MOVED)
    for group, options in zip(optimizer.param_groups, asked, strict=False):  # a callback may have added some
        if schedule is not None and group.get("initial_lr"):
            group["lr"] *= options["initial_lr"] / group["initial_lr"]
            group["initial_lr"] = options["initial_lr"]
        group.update({key: value for key, value in options.items() if key not in left})
    if schedule is not None:
        schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]

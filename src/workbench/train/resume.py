"""Going on from a checkpoint: what must fit before anything is written, and what is obeyed afterwards."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import Trainer

from workbench.common.private_parts import batches_that_stepped
from workbench.config.optimizers import ByStep, go_to, obey

Options = Sequence[Mapping[str, Any]]  # of an optimizer's groups


def options_of(trainer: Trainer) -> list[Options]:
    """Return what is asked of each optimizer, group by group, before a checkpoint is restored."""
    return [
        [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        for optimizer in trainer.optimizers
    ]


def go_on(trainer: Trainer, asked: Sequence[Options]) -> None:
    """Let optimizers and schedules that were restored go on by what is asked for now."""
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    own = {schedule.optimizer: schedule for schedule in schedules if not isinstance(schedule, ByStep)}
    for optimizer, options in zip(trainer.optimizers, asked, strict=True):
        obey(optimizer, options, own.get(optimizer))
    step = step_of(trainer)
    for schedule in schedules:
        if isinstance(schedule, ByStep):
            go_to(schedule, step)


def step_of(trainer: Trainer) -> int:
    """Return the step that a schedule over all steps of this configuration has reached.

    Where the epochs set its length, that is where as many epochs of this configuration end: with another
    batch size the run has taken another number of steps.
    """
    batches = trainer.num_training_batches / trainer.accumulate_grad_batches
    per_epoch = batches if math.isinf(batches) else math.ceil(batches)
    if trainer.estimated_stepping_batches == per_epoch * (trainer.max_epochs or 1):
        return int(per_epoch * trainer.current_epoch)
    return batches_that_stepped(trainer)

"""Going on from a checkpoint: what must fit before anything is written, and what is obeyed afterwards."""

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import BaseFinetuning, Callback, EarlyStopping
from torch.optim import Optimizer

from workbench.common.errors import ConfigError
from workbench.common.private_parts import batches_that_stepped
from workbench.common.workspace import typed
from workbench.config.optimizers import MOVED, ByStep, go_to, obey
from workbench.run.checkpoints import difference_to, read_checkpoint
from workbench.run.provenance import changed_data


def check_checkpoint(task: Any, trainer: Trainer, checkpoint: Path, words: Sequence[str] = ()) -> None:
    """Try a run's checkpoint against what its configuration, changed by `words`, names now.

    Reads the data and makes the network, as the run would do next. Raises ConfigError, with what to type
    instead, where the run cannot go on.
    """
    run, kept = checkpoint.parent.parent, read_checkpoint(checkpoint)
    found = next(_misfits(task, trainer, kept, run, words), None)
    if found is None:
        return
    beside = " ".join(word for word in words if not word.startswith(("resume=", "outputs=")))
    raise ConfigError(
        f"resume: {found}{beside and f'; typed was {beside}'}; for a new run type repeat={typed(run)} in "
        f"place of resume=, and init_from={typed(run)} for its weights, where they fit"
    )


# Words that nothing obeys where no step is left.
OF_A_STEP = re.compile(r"hparams\.(learning_rate|weight_decay|schedule|warmup_steps|gradient_clip)=")


def _misfits(
    task: Any, trainer: Any, kept: Mapping[str, Any], run: Path, words: Sequence[str]
) -> Iterator[str]:
    """Say what cannot be as the configuration wants it; what costs least is tried first."""
    epochs, steps = kept["epoch"] + 1, kept["global_step"]
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs < epochs:
        yield f"hparams.max_epochs={trainer.max_epochs} is too few, {epochs} are done; {epochs} ends it here"
    if 0 <= trainer.max_steps < steps:
        yield f"trainer.max_steps={trainer.max_steps} is too few, {steps} are done; {steps} ends it here"
    if epochs == trainer.max_epochs and (idle := " ".join(filter(OF_A_STEP.match, words))):
        yield f"all {epochs} epochs are done and nothing would obey {idle}; add more hparams.max_epochs"
    if _patience_is_used_up(trainer.callbacks, kept) and (idle := " ".join(filter(OF_A_STEP.match, words))):
        yield f"its patience is used up and nothing would obey {idle}; raise hparams.early_stopping_patience"
    task.prepare_data()
    task.setup("fit")
    if changed := changed_data(run, task.data.fingerprint()):
        typed = " ".join(word.lstrip("+") for word in words if word.lstrip("+").startswith("data."))
        why = f"{typed} gives this run other data" if typed else "the data have changed since this run began"
        yield f"{why} ({changed}, see {run / 'data.json'})"
    task.configure_model()
    if difference := difference_to(task, kept["state_dict"]):
        yield f"the run's network cannot change ({difference})"
    if not any(isinstance(callback, BaseFinetuning) for callback in trainer.callbacks):  # which adds groups
        yield from _misfits_of_optimizers(_try_optimizers(task), kept)
    yield from _misfits_of_callbacks(trainer.callbacks, kept["callbacks"])


def _patience_is_used_up(callbacks: Sequence[Callback], kept: Mapping[str, Any]) -> bool:
    found = [callback for callback in callbacks if isinstance(callback, EarlyStopping)]
    waits = ((each, kept["callbacks"].get(each.state_key, {}).get("wait_count", 0)) for each in found)
    return any(wait >= each.patience for each, wait in waits)


def _misfits_of_optimizers(made: Sequence[Optimizer], kept: Mapping[str, Any]) -> Iterator[str]:
    states = kept["optimizer_states"]
    if made and len(made) != len(states):
        yield f"the run has {len(states)} optimizers, and its task makes {len(made)} now"
    for number, (optimizer, state) in enumerate(zip(made, states, strict=False)):
        groups, others, name = optimizer.param_groups, state["param_groups"], type(optimizer).__name__
        was = kept["optimizers"][number] if "optimizers" in kept else None  # not in version 0.1
        if was not in (None, name) or groups[0].keys() - others[0].keys() - {*MOVED}:
            yield f"hparams.optimizer cannot change (it was {was or 'another'} and is {name} here)"
        if [len(group["params"]) for group in groups] != [len(group["params"]) for group in others]:
            yield "the parts of the network that have a learning rate of their own cannot change"


def _try_optimizers(task: Any) -> list[Optimizer]:
    """Make a task's optimizers without schedules; none where it asks its trainer for more than these."""
    task.has_schedules = False
    try:
        return list(_optimizers(task.configure_optimizers()))
    except RuntimeError:
        return []
    finally:
        task.has_schedules = True


def _optimizers(made: Any) -> Iterator[Optimizer]:
    """Give the optimizers in what `configure_optimizers` returned, in each of Lightning's forms."""
    if isinstance(made, Optimizer):
        yield made
    elif isinstance(made, Mapping):
        yield from _optimizers(made.get("optimizer"))
    elif isinstance(made, list | tuple):
        for part in made:
            yield from _optimizers(part)


def _misfits_of_callbacks(callbacks: Sequence[Callback], kept: Mapping[str, Any]) -> Iterator[str]:
    for callback in callbacks:
        if state := kept.get(callback.state_key):
            try:
                with warnings.catch_warnings(action="ignore"):  # said when it is done
                    deepcopy(callback).load_state_dict(deepcopy(state))
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                yield f"trainer.callbacks: {type(callback).__name__} cannot go on from its state ({reason})"


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
        loop = trainer.fit_loop
        inside = (loop.batch_idx + 1) // trainer.accumulate_grad_batches if loop.restarted_mid_epoch else 0
        return int(per_epoch * trainer.current_epoch) + inside
    return batches_that_stepped(trainer)

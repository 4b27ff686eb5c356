"""All ranks of a run, from the first step to the last: they begin with rank 0, and end when one fails."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch.distributed as dist
from pytorch_lightning import Trainer

from workbench.common.errors import ConfigError, Interrupted, Pruned, RankFailed, UserError
from workbench.common.rank import rank, started_together
from workbench.distributed.workers import PATIENCE, Followers, find_failure, forget_notes, tell_folder


@contextmanager
def together(trainer: Trainer, folder: Path, give_up: Callable[[RankFailed], None]) -> Iterator[None]:
    """Hold the ranks of a trainer together; in rank 0, raise RankFailed for another rank that failed.

    Raises ConfigError where torchrun or srun started another number of processes than the trainer takes.
    """
    _check_number(trainer)
    if trainer.world_size == 1:
        yield
        return
    if rank() == 0:
        forget_notes(folder)
        tell_folder(folder)
    try:
        with _followers(trainer, folder, give_up):
            try:
                yield
            except (UserError, Pruned):
                raise
            except (Exception, Interrupted) as error:
                patience = 0 if isinstance(error, Interrupted) else PATIENCE
                if rank() == 0 and (failure := find_failure(folder, patience)):
                    raise failure from error
                raise
    finally:
        if rank() == 0:
            forget_notes(folder)
        if dist.is_initialized():
            dist.destroy_process_group()


def _check_number(trainer: Trainer) -> None:
    wanted, present = trainer.num_devices * trainer.num_nodes, started_together()
    if present > 1 and wanted != present:
        raise ConfigError(
            f"trainer: {present} processes run, but trainer.devices x trainer.num_nodes is {wanted}; "
            f"choose trainer=ddp, and devices and num_nodes that make {present}"
        )


def _followers(
    trainer: Trainer, folder: Path, give_up: Callable[[RankFailed], None]
) -> AbstractContextManager[Any]:
    environment: Any = trainer.strategy.cluster_environment  # type: ignore[attr-defined]  # where there are ranks
    if environment.creates_processes_externally:
        return nullcontext()
    return Followers(folder, trainer.num_devices, environment.main_address, environment.main_port, give_up)

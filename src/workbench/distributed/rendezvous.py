"""Where torchrun or srun started the processes, rank 0 tells the others which run folder it has made."""

import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from workbench.common.errors import UserError
from workbench.common.rank import rank, started_together

PATIENCE = timedelta(minutes=10)  # until all machines have loaded their libraries
KEY = "patchsets/run folder"


def tell_folder(folder: Path) -> None:
    """Let the other ranks begin."""
    if started_together() > 1:
        _store().set(KEY, str(folder.resolve()))


def learn_folder() -> Path:
    """Wait for rank 0 to make the run folder."""
    return Path(_store().get(KEY).decode())


@cache  # the one that rank 0 holds must live until torch has made its process group by the same port
def _store() -> Any:
    from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    from torch.distributed.rendezvous import rendezvous

    known = TorchElasticEnvironment if "RANK" in os.environ else SLURMEnvironment
    environment = known()
    address = f"tcp://{environment.main_address}:{environment.main_port}"
    try:
        store, _, _ = next(rendezvous(address, rank(), started_together(), timeout=PATIENCE))
    except Exception as error:
        raise UserError(f"rank {rank()}: the other ranks cannot be reached at {address}: {error}") from error
    return store

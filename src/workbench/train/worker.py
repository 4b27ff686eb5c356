"""A rank other than 0: it trains what rank 0's run folder says, and writes nothing but why it failed."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from workbench.common.errors import Pruned
from workbench.common.rank import rank
from workbench.config import composition
from workbench.distributed.workers import leave_note


def follow(folder: Path) -> None:
    """Train with the other ranks; where that fails, leave a note and end at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears it too, and ends the run
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        from workbench.run.log import quieten

        quieten()
        from workbench.config.choose import read_config
        from workbench.train.training import build_parts, train

        config = read_config(folder)
        train(build_parts(config, folder), config, folder)
    except Pruned:  # by all ranks at once: no failure
        return
    except BaseException as error:
        leave_note(folder, rank(), error)
        os._exit(1)  # leaving as usual would wait for the others


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Follow the rank 0 that started this process, and end when it ends."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    composition.register()
    follow(folder)


if __name__ == "__main__":
    main()

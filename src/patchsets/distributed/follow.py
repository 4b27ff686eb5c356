"""A rank other than 0: it trains what rank 0's run folder says, and writes nothing but why it failed."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from patchsets import schema
from patchsets.distributed.failures import leave_note
from patchsets.distributed.place import rank
from patchsets.errors import Pruned


def follow(folder: Path) -> None:
    """Train with the other ranks; where that fails, leave a note and end at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears it too, and ends the run
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        from patchsets.run_log import quieten

        quieten()
        from patchsets.preflight import read_config
        from patchsets.training import train

        train(read_config(folder), folder)
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
    schema.register()
    follow(folder)


if __name__ == "__main__":
    main()

"""Ranks 1 to n-1 on this machine: started by rank 0 where nobody else does, watched, and ended with it.

A rank that fails leaves a hidden note in the run folder, for rank 0 to tell. Where torchrun or srun started
the processes, rank 0 tells the others which run folder it has made.

They run `workbench.train.worker <run folder>`, not the command line again: a sweep, `resume=` or `latest`
would mean something else by then. Lightning, which would start them itself, kills rank 0 outright when one
fails.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from workbench.common.errors import RankFailed, UserError
from workbench.common.files import read_json, write_json
from workbench.common.rank import rank, started_together
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT

PATIENCE = 3.0  # seconds in which the note of a rank appears whose end another rank has noticed


def leave_note(folder: Path, rank: int, error: BaseException) -> None:
    """Say why this rank ended."""
    is_plain = isinstance(error, UserError)
    line = str(error) if is_plain else f"{type(error).__name__}: {error}"
    trace = "" if is_plain else "".join(traceback.format_exception(error))
    write_json(_note(folder, rank), {"error": redact(line).splitlines()[0], "traceback": redact(trace)})


def forget_notes(folder: Path) -> None:
    """Remove the notes of an earlier start."""
    for note in folder.glob(_note(folder, "*").name):
        note.unlink(missing_ok=True)


def find_failure(folder: Path, patience: float = PATIENCE) -> RankFailed | None:
    """Return what the first rank that failed said, waiting a little for its note."""
    deadline = time.monotonic() + patience
    while True:
        for path in sorted(folder.glob(_note(folder, "*").name), key=lambda path: path.stat().st_mtime):
            if note := read_json(path):
                number = path.stem.removeprefix(".rank_")
                return RankFailed(f"rank {number}: {note['error']}", note["traceback"])
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def _note(folder: Path, rank: int | str) -> Path:
    return folder / f".rank_{rank}.json"


LEAVING_SECONDS = 5.0  # in which rank 0 notices by itself that another one is gone
STUCK_SECONDS = 30.0  # after which it is in a call of the network that no signal ends


class Followers:
    """Holds the other processes of a machine while rank 0 trains.

    Within it Lightning finds in the environment what torchrun would have set. `give_up` ends rank 0 where
    nothing else does.
    """

    def __init__(
        self, folder: Path, number: int, address: str, port: int, give_up: Callable[[RankFailed], None]
    ) -> None:
        self._folder = folder
        self._number = number
        self._give_up = give_up
        self._variables = {"MASTER_ADDR": address, "MASTER_PORT": str(port), "NODE_RANK": "0"}
        self._earlier = dict(os.environ)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._left = threading.Event()

    def __enter__(self) -> "Followers":
        os.environ.update(self._variables, LOCAL_RANK="0")
        self._processes = [self._start(rank) for rank in range(1, self._number)]
        threading.Thread(target=self._watch, name="followers", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._kill()
        for name in (*self._variables, "LOCAL_RANK"):
            os.environ.pop(name, None)
        os.environ.update({name: self._earlier[name] for name in self._variables if name in self._earlier})

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        threads = str(max(1, (os.cpu_count() or 1) // self._number))
        environment = {"OMP_NUM_THREADS": threads, **os.environ, "LOCAL_RANK": str(rank), "PYTHONPATH": path}
        command = [sys.executable, "-m", "workbench.train.worker", str(self._folder), str(os.getpid())]
        # in a session of its own: Ctrl-C is for rank 0, which ends the others
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def _watch(self) -> None:
        while not self._left.wait(0.2):
            for number, process in enumerate(self._processes, 1):
                if process.poll():
                    self._bring_down(number, process.returncode)
                    return

    def _bring_down(self, rank: int, code: int) -> None:
        """Let a rank's failure end all others; rank 0 may be waiting for it in a collective call."""
        if find_failure(self._folder, patience=0) is None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            leave_note(self._folder, rank, UserError(f"its process {how}"))
        self._kill()
        if self._left.wait(LEAVING_SECONDS):
            return
        os.kill(os.getpid(), signal.SIGTERM)
        if not self._left.wait(STUCK_SECONDS):
            self._give_up(find_failure(self._folder) or RankFailed(f"rank {rank} failed"))

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with its data workers; they hold nothing
                process.wait()


TIME_TO_MEET = timedelta(minutes=10)  # until all machines have loaded their libraries
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
        store, _, _ = next(rendezvous(address, rank(), started_together(), timeout=TIME_TO_MEET))
    except Exception as error:
        raise UserError(f"rank {rank()}: the other ranks cannot be reached at {address}: {error}") from error
    return store

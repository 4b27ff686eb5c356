"""What goes on behind a shell's back: wait for it, list it."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(holds: Callable[[], bool], patience: float = 20.0) -> None:
    """Wait for something that happens in the background."""
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def processes_of(workspace: Path) -> list[str]:
    """Return the commands of living processes that run this workspace's completion."""
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if f"{workspace}/src/patchsets/completion" in line]

"""One TAB, from the key to the candidates: cached, after an edit, and as Hydra's stock completion answers it.

python benchmarks/completion.py        half a minute; wall-clock time, so leave the machine alone meanwhile
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from timing import print_table

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 15
LINE = "python src/train.py hparams.batch"
# Each shell does what TAB makes it do, once a line that comes in; it says when it is done.
LOOPS = {
    "bash": """source hydra/tab_completion_bash; COMP_LINE='{line}'; COMP_POINT=${#COMP_LINE}
COMP_WORDS=($COMP_LINE); COMP_CWORD=2
while read -r; do
    _patchsets_complete python hparams.batch src/train.py 2>/dev/null
    echo "${COMPREPLY[*]}"
done""",
    "fish": """source hydra/tab_completion_fish; complete -C '{line}' >/dev/null
while read -l; complete -C '{line}'; end""",
}


class Shell:
    """A shell that completes the line each time it is asked to."""

    def __init__(self, name: str, cache: str, workspace: Path) -> None:
        command = [name, "-c", LOOPS[name].replace("{line}", LINE)]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._process = subprocess.Popen(
            command,
            cwd=workspace,
            env={**os.environ, "PATH": path, "XDG_CACHE_HOME": cache},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def complete(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert "batch_size=" in self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    """Interleave the cases; print medians and their ratio to stock."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        for name in ("config", "hydra", "src"):
            shutil.copytree(ROOT / name, workspace / name)
        _report(_measure(folder, workspace))


def _measure(cache: str, workspace: Path) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {}

    def record(case: str, action: Callable[[], object]) -> None:
        begun = time.perf_counter()
        action()
        seconds.setdefault(case, []).append(time.perf_counter() - begun)

    shells = {name: Shell(name, cache, workspace) for name in LOOPS if shutil.which(name)}
    for repeat in range(REPEATS):
        record("stock", lambda: _stock(workspace))
        for name, shell in shells.items():
            (workspace / "config/config.yaml").open("a").write(f"# edit {repeat}\n")
            record(f"{name}, after an edit", shell.complete)
            time.sleep(0.4)  # the rest of the answers is being cached
            record(f"{name}, cached", shell.complete)
    for shell in shells.values():
        shell.close()
    return seconds


def _stock(workspace: Path) -> None:
    command = [sys.executable, "src/train.py", "-sc", "query=bash"]
    environment = {**os.environ, "COMP_LINE": LINE}
    done = subprocess.run(command, cwd=workspace, env=environment, check=True, capture_output=True, text=True)
    assert "batch_size=" in done.stdout


def _report(seconds: dict[str, list[float]]) -> None:
    medians = {
        case: statistics.median(values[1:]) for case, values in seconds.items()
    }  # the first one warms up
    print_table(
        "One TAB (goals: 30 ms cached, 300 ms after an edit)",
        ["case", "milliseconds", "stock / it"],
        [[case, f"{1e3 * value:.1f}", f"{medians['stock'] / value:.1f}"] for case, value in medians.items()],
    )


if __name__ == "__main__":
    main()

"""Run the tests in two processes, for two cores: python tests/run.py (words are handed on to both).

Not by pytest-xdist: its threads hang the tests that fork.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
BESIDE = {TESTS / "test_lightning_words.py"}  # runs with the folders, so that both halves take as long


def main() -> int:
    """Show one half of the tests as they run, then the other; return whether any failed."""
    folders = {path for path in TESTS.iterdir() if any(path.glob("test_*.py"))}
    commands = sorted({*TESTS.glob("test_*.py")} - BESIDE)
    with tempfile.TemporaryFile() as output:
        beside = _start(sorted(folders | BESIDE), stdout=output, stderr=subprocess.STDOUT)
        failed = _start(commands).wait()
        failed = beside.wait() or failed
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    return failed


def _start(paths: list[Path], **streams: object) -> subprocess.Popen[bytes]:
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    command = [sys.executable, "-m", "pytest", *map(str, paths), *sys.argv[1:]]
    return subprocess.Popen(command, cwd=TESTS.parent, env=environment, **streams)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())

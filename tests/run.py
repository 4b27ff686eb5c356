"""Run the tests in two processes, for two cores: python tests/run.py (words are handed on to both).

Not by pytest-xdist: its threads hang the tests that fork.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent


def main() -> int:
    """Show the whole commands' tests as they run, then those of the folders; return whether any failed."""
    commands = sorted(map(str, TESTS.glob("test_*.py")))
    folders = sorted(str(path) for path in TESTS.iterdir() if any(path.glob("test_*.py")))
    with tempfile.TemporaryFile() as output:
        beside = _start(folders, stdout=output, stderr=subprocess.STDOUT)
        failed = _start(commands).wait()
        failed = beside.wait() or failed
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    return failed


def _start(paths: list[str], **streams: object) -> subprocess.Popen[bytes]:
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    command = [sys.executable, "-m", "pytest", *paths, *sys.argv[1:]]
    return subprocess.Popen(command, cwd=TESTS.parent, env=environment, **streams)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())

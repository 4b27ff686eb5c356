"""Time to the first step, and to the answer to a mistake, beside the imports they cannot do without.

python benchmarks/startup.py        about two minutes; wall-clock seconds: leave the machine alone meanwhile
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import print_table

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 9
# Known by the schema; by the signature of a network (torch); by that of a task (Lightning).
MISTAKES = ("hparams.batchsize=64", "model.width=-4", "+task.label_smoothing=2")


def main() -> None:
    """Interleave the commands and print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as outputs:
        commands = {
            "import torch, pytorch_lightning": [sys.executable, "-c", "import torch, pytorch_lightning"],
            "train.py to its first step": [
                sys.executable,
                str(ROOT / "src/train.py"),
                f"outputs={outputs}",
                "trusted_targets=[first_step.]",
                "+trainer.callbacks=[{_target_: first_step.LeaveAfterOneStep}]",
            ],
            **{f"mistake: {word}": [sys.executable, str(ROOT / "src/train.py"), word] for word in MISTAKES},
        }
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                seconds[name].append(_wall(command, environment))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    base = next(iter(medians.values()))
    print_table(
        "Start-up (goal: at most 1.3 times the imports)",
        ["command", "seconds", "ratio"],
        [[name, f"{value:.2f}", f"{value / base:.2f}"] for name, value in medians.items()],
    )


def _wall(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert done.returncode == (2 if command[-1] in MISTAKES else 0), done.stderr
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()

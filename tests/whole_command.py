"""What the tests of whole commands share (a module of its own: subfolders have a conftest each)."""

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Train = Callable[..., subprocess.CompletedProcess[str]]


def the_run(outputs: Path, experiment: str = "patch_sets") -> Path:
    """Return the run folder of an experiment that was written last: two may begin in one second."""
    return max((outputs / experiment).glob("2*"), key=lambda run: (run / "summary.json").stat().st_mtime_ns)


# The smallest run that goes through every stage.
QUICK = [
    "hparams.max_epochs=2",
    "hparams.width=16",
    "hparams.depth=1",
    "hparams.heads=2",
    "hparams.patches=6",
    "save_model=false",  # its export takes a second
]
# A run of a second, without figures.
TINY = [
    "task=regression", "data=max_regression", "model=deep_sets", "hparams.width=8", "hparams.depth=1",
    "hparams.max_epochs=2", "save_model=false", "loggers=[]", "trainer.log_every_n_steps=1",
    "+trainer.limit_train_batches=3", "+trainer.limit_val_batches=1", "+trainer.limit_test_batches=1",
]  # fmt: skip

"""Two processes on a CPU: the same numbers as one with batches twice as large, and one run to show for it."""

import csv
from pathlib import Path

import pytest
from in_process import start
from whole_command import QUICK, the_run

from workbench.run.summary import read_summary

WORDS = [
    *QUICK,
    "save_model=false",
    "hparams.patches=null",
    "hparams.schedule=null",
    "trainer.accelerator=cpu",
    "loggers=[]",
]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "hparams.batch_size=150"]


def values(folder: Path) -> dict[tuple[str, str, str], float]:
    with (folder / "metrics.csv").open() as file:
        return {(row["axis"], row["step"], row["name"]): float(row["value"]) for row in csv.DictReader(file)}


def test_two_ranks_stopped_and_resumed_equal_one_process(tmp_path: Path) -> None:
    alone = start(*WORDS, "hparams.batch_size=300", f"outputs={tmp_path / 'one'}")
    start(*WORDS, *TWO, "hparams.max_epochs=1", f"outputs={tmp_path / 'two'}")
    (folder,) = (path for path in (tmp_path / "two" / "patch_sets").iterdir() if not path.is_symlink())
    together = start(f"resume={folder}", "hparams.max_epochs=2")
    assert together == pytest.approx(alone, rel=1e-3)
    one, two = values(the_run(tmp_path / "one")), values(folder)
    assert {key: two[key] for key in one} == pytest.approx(one, rel=1e-3)
    assert read_summary(folder)["status"] == "finished"
    hidden = {path.name for path in folder.iterdir() if path.name.startswith(".")}
    assert hidden == {".lock"}
    assert len((folder / "predictions.csv").read_text().splitlines()) == 1 + 359

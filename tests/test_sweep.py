"""Lists with -m: every combination in a folder of its own, and the same command finishes what is missing."""

import json
import shutil
from pathlib import Path

from whole_command import QUICK, Train

GRID = ["-m", "hparams.optimizer=SGD,Adam"]


def test_grid_runs_every_combination_and_finishes_what_is_missing(train: Train, tmp_path: Path) -> None:
    words = [*QUICK, f"hydra.sweep.dir={tmp_path}/sweep", *GRID, "hparams.max_epochs=1"]
    train(*words)
    trials = sorted((tmp_path / "sweep").glob("*/summary.json"))
    assert len(trials) == 2
    summaries = [json.loads(path.read_text()) for path in trials]
    assert {summary["status"] for summary in summaries} == {"finished"}
    assert len({str(summary["metrics"]) for summary in summaries}) == 2
    shutil.rmtree(trials[1].parent)
    done = train(*words)
    assert "2 trials (every combination), 1 finished already" in done.stdout
    again = [json.loads(path.read_text()) for path in trials]
    assert [summary["metrics"] for summary in again] == [summary["metrics"] for summary in summaries]

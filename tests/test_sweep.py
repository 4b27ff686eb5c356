"""Lists with -m: every combination in a folder of its own, and the same command finishes what is missing."""

import json
import shutil
from pathlib import Path

from whole_command import QUICK, Train

GRID = ["hparams.batch_size=64,256", "hparams.optimizer=SGD,Adam", "-m"]


def test_grid_runs_every_combination_and_finishes_what_is_missing(train: Train, tmp_path: Path) -> None:
    words = [*QUICK, "hparams.max_epochs=1", f"hydra.sweep.dir={tmp_path}/sweep", *GRID]
    train(*words)
    trials = sorted((tmp_path / "sweep").glob("*/summary.json"))
    assert len(trials) == 4
    summaries = [json.loads(path.read_text()) for path in trials]
    assert {summary["status"] for summary in summaries} == {"finished"}
    assert len({str(summary["metrics"]) for summary in summaries}) == 4
    shutil.rmtree(trials[2].parent)
    done = train(*words)
    assert "4 trials (every combination), 3 finished already" in done.stdout
    again = [json.loads(path.read_text()) for path in trials]
    assert [summary["metrics"] for summary in again] == [summary["metrics"] for summary in summaries]


def test_a_failing_trial_is_recorded_and_the_rest_goes_on(train: Train, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = [
        *QUICK,
        "hparams.gradient_clip=null",
        "hparams.learning_rate=1e30,1e-3",
        f"hydra.sweep.dir={sweep}",
        "-m",
    ]
    done = train(*words, check=False)
    assert done.returncode == 1
    assert [json.loads((sweep / n / "summary.json").read_text())["status"] for n in "01"] == [
        "failed",
        "finished",
    ]

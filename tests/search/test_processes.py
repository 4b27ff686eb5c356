"""Trials as processes: several at once, on their own GPUs; one that is killed leaves the others alone."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf
from whole_command import Train

from workbench.config.command import words_for_hydra
from workbench.search import processes

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
words = dict(word.split("=", 1) for word in sys.argv[1:])
folder = Path(words["hydra.run.dir"].strip("'"))
(folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
(folder / "words").write_text(" ".join(sys.argv[1:]))
if words["do"] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if words["do"] == "meet":  # ends only while another one runs
    for _ in range(1200):
        if len(list(folder.parent.glob("*/gpu"))) == 2:
            sys.exit()
        time.sleep(0.05)
    sys.exit(1)
if words["do"] == "wait":
    signal.pause()
print("done")
"""
CONFIG = OmegaConf.create(
    {
        "hydra": {
            "overrides": {
                "hydra": ["hydra.launcher.n_jobs=2", "hydra/launcher=subprocess", "hydra.verbose=true"]
            },
            "job": {"config_name": "config"},
            "runtime": {"config_sources": []},
        }
    }
)


# A trial that says by which words it was started, and has ended well.
TOLD = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[-1].partition("=")[2].strip("'"))
(folder / "words").write_text(json.dumps(sys.argv[1:-1]))
(folder / "config.yaml").write_text("a: 1")
(folder / "summary.json").write_text('{"status": "finished"}')
(folder / "metrics.csv").write_text("time,axis,epoch,step,name,value\\n1,epoch,0,1,val/loss,0.5\\n")
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(processes, "TRAIN", tmp_path / "script.py")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")


def test_a_killed_process_is_one_failed_trial(tmp_path: Path) -> None:
    jobs = [
        (number, [f"do={what}"], tmp_path / str(number)) for number, what in enumerate(["end", "die", "end"])
    ]
    results = dict(processes.run_each(jobs, 1, words_for_hydra(CONFIG.hydra)))
    assert [results[n].status for n in range(3)] == [
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.COMPLETED,
    ]
    assert "SIGKILL" in str(results[1]._return_value)
    assert (tmp_path / "0" / "console.txt").read_text() == "done\n"
    assert (tmp_path / "0" / "words").read_text() == f"do=end hydra.verbose=true hydra.run.dir={tmp_path}/0"


def test_two_slots_run_at_once_and_share_the_gpus(tmp_path: Path) -> None:
    jobs = [(number, ["do=meet"], tmp_path / str(number)) for number in range(2)]
    results = dict(processes.run_each(jobs, 2, words_for_hydra(CONFIG.hydra)))
    assert {result.status for result in results.values()} == {JobStatus.COMPLETED}
    assert [(tmp_path / n / "gpu").read_text() for n in "01"] == ["4,5", "6,7"]


def test_more_slots_than_gpus_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [processes._environment(slot, 8)["CUDA_VISIBLE_DEVICES"] for slot in range(8)]
    assert given == ["4", "5", "6", "7", "4", "5", "6", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processes._environment(3, 8)["CUDA_VISIBLE_DEVICES"] == ""


def test_a_sweep_that_stops_takes_its_processes_along(tmp_path: Path) -> None:
    jobs = [(0, ["do=wait"], tmp_path / "0"), (1, ["do=end"], tmp_path / "1")]
    running = processes.run_each(jobs, 2, words_for_hydra(CONFIG.hydra))
    assert next(running)[0] == 1
    running.close()
    assert "KeyboardInterrupt" in (tmp_path / "0" / "console.txt").read_text()


def test_trials_and_the_best_command_find_the_configuration_that_was_searched(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial without --config-dir, --config-name or hydra.searchpath would train another experiment."""
    (tmp_path / "script.py").write_text(TOLD)
    for path, text in {
        "conf/mine.yaml": "defaults: [config, _self_]\nexperiment_name: of_mine\n",
        "more/tags/kind.yaml": "author: me\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    searched = f"hydra.searchpath=['file://{tmp_path}/more']"
    words = ["--config-dir", "conf", "-cn", "mine", searched, "+tags=kind", "hparams.width=8,16"]
    done = train("-m", *words, "hydra/launcher=subprocess", f"hydra.sweep.dir={tmp_path}/sweep")
    flags = [searched, "--config-name=mine", f"--config-dir={tmp_path}/conf"]
    for number, width in enumerate(("8", "16")):
        told = json.loads((tmp_path / "sweep" / str(number) / "words").read_text())
        assert {*flags, "+tags=kind", f"hparams.width={width}"} <= {*told}
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())["best"]
    assert best["command"] in done.stdout
    assert shlex.split(best["command"])[:5] == ["python", "src/train.py", *flags]

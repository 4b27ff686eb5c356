"""Hyper-parameters belong to the parts that read them, and one line of YAML adds one."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from in_process import start
from whole_command import QUICK, ROOT, Train

from workbench.common.workspace import options
from workbench.config.composition import register
from workbench.config.hparams import unread

MINE = """
from torch import Tensor, nn
from patchsets.set_module import Each, Pool, Sets
from workbench.common.limits import AboveZero


class Mine(nn.Module):
    def __init__(self, in_features: int, out_features: int, rings: AboveZero) -> None:
        super().__init__()
        self.encode, self.pool = Each(nn.Linear(in_features, rings)), Pool("mean")
        self.classify = nn.Linear(rings, out_features)

    def forward(self, sets: Sets) -> Tensor:
        return self.classify(self.pool(self.encode(sets)))
"""
PRESET = """
# @package _global_
model:
  _target_: mine.network.Mine
  rings: ${hparams.rings}
hparams:
  rings: 5
"""


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    """A network of one's own with a hyper-parameter of its own: one Python file and one YAML."""
    for path, text in {"mine/network.py": MINE, "conf/model/mine.yaml": PRESET}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text.lstrip())
    return ["model=mine", "trusted_targets=[mine.]"]


def composed_of(*words: str) -> list[str]:
    """Return the hyper-parameters that a composition has and nothing reads."""
    register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return unread(compose("config", overrides=list(words)))


@pytest.mark.parametrize("task", options("task"))
def test_no_task_shows_what_its_parts_do_not_read(task: str) -> None:
    assert composed_of(f"task={task}") == []


@pytest.mark.parametrize("model", options("model"))
def test_no_data_and_network_show_what_they_do_not_read(model: str) -> None:
    for data in options("data"):
        assert composed_of(f"data={data}", f"model={model}") == [], data


def test_what_no_part_reads_is_refused_with_the_nearest_name(train: Train, outputs: Path) -> None:
    done = train("model=deep_sets", "hparams.head=2", check=False)
    assert done.returncode == 2
    assert "hparams.head: no part of this run reads it; there is batch_size, depth," in done.stderr
    done = train("model=set_transformer", "hparams.head=2", check=False)
    assert "hparams.head: there is no such key: did you mean hparams.heads?" in done.stderr
    assert not outputs.exists()


def test_in_a_sweep_it_is_enough_that_one_member_reads_it(train: Train, tmp_path: Path) -> None:
    words = [
        *QUICK,
        "loggers=[]",
        "model=deep_sets,set_transformer",
        f"hydra.sweep.dir={tmp_path}/sweep",
        "-m",
    ]
    train(*words)  # QUICK has hparams.heads=2, which deep_sets does not read
    refused = train(*words, "hparams.tails=2", check=False)
    assert refused.returncode == 2 and "hparams.tails: no part of this run reads it" in refused.stderr


def test_a_typed_key_is_checked_against_the_run_that_goes_on(outputs: Path, train: Train) -> None:
    start(*QUICK, "loggers=[]", f"outputs={outputs}")
    latest = outputs / "patch_sets" / "latest"
    done = train(f"resume={latest}", "hparams.latent_dim=8", check=False)
    assert done.returncode == 2 and "hparams.latent_dim: no part of this run reads it" in done.stderr


def test_a_value_of_another_type_is_named_as_it_was_typed(train: Train) -> None:
    done = train("hparams.heads=many", check=False)
    assert done.stderr == "error: hparams.heads: 'many' is not of type int\n"


def test_a_hyper_parameter_of_ones_own_is_known_everywhere(
    mine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Python file and one YAML: `runs.py`, MLflow, TAB, limits and typing mistakes know it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    quick = [word for word in QUICK if "width" not in word and "depth" not in word and "heads" not in word]
    words = [*mine, f"outputs={tmp_path}/outputs", *quick, "loggers=mlflow", "hparams.rings=7"]
    done = run("src/train.py", "--config-dir", str(tmp_path / "conf"), *words)
    assert done.returncode == 0, done.stderr
    listed = run(
        "src/runs.py", f"outputs={tmp_path}/outputs", "hparams.rings=7", "columns=hparams.rings,model"
    )
    assert listed.stdout.split() == ["hparams.rings", "model", "7", "mine"], listed.stderr
    listed_there = mlflow_parameters(tmp_path / "mlflow.db")
    assert (listed_there["rings"], listed_there["model"], listed_there["data"]) == ("7", "mine", "digits")
    assert "heads" not in listed_there
    for word, said in {
        "hparams.rings=0": "hparams.rings: 0 is not a number above 0",
        "hparams.ring=3": "did you mean hparams.rings?",
    }.items():
        wrong = run("src/train.py", "--config-dir", str(tmp_path / "conf"), *mine, word)
        assert wrong.returncode == 2 and said in wrong.stderr
    line = f"python src/train.py --config-dir {tmp_path}/conf model=mine hparams.ri"
    tab = run(
        "-I", "-S", "src/workbench/completion/tab.py", "fish", str(os.getpid()), "src/train.py", line, ""
    )
    assert "hparams.rings=" in tab.stdout, tab.stderr


def mlflow_parameters(database: Path) -> dict[str, str]:
    """Return the parameters of the only run in MLflow's database."""
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("SELECT key, value FROM params").fetchall())

"""A sweep that cannot be right gets one line before anything is made; passwords are kept nowhere."""

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException
from pretend import Trials, sweep
from whole_command import ROOT

from workbench.common.errors import ConfigError
from workbench.config.explanations import explain
from workbench.search.study import storage_address

LIST = "hparams.batch_size=32,64"
WRONG = {
    "sweep.sampler=tpee": "did you mean tpe?",
    "sweep.pruner=medain": "did you mean median?",
    "sweep.pruner_options={n_startup_trial: 3}": "n_startup_trial",
    "sweep.n_trials=0": "above 0",
    "sweep.sampler=tpe,random": "give it one value",
    "sweep.direction=maximise": "did you mean maximize?",
    "sweep.metric=val/mine": "minimize or maximize for val/mine",
    "sweep.direction=[minimize,maximize]": "one direction for each",
    "sweep.storage=mysql://a/b": "sqlite:///FILE",
    "sweep.storage=postgresql://me:hunter2222@h/b": "PGPASSWORD",
    "sweep.storage='postgresql://h/b?password=hunter2222'": "PGPASSWORD",
    "sweep.storage=postgresql://me@127.0.0.1:1/x": "cannot be opened",
    "hparams.width=interval(1,64)": "not of type int",
    "hparams.width=32,-1": "hparams.width: -1",
    "hparams.optimizer=SGD,Adamm": "did you mean Adam?",
    "trainer.devices=2": "hydra/launcher=subprocess",
    "trainer.devices=[0,1]": "hydra/launcher=subprocess",
    "debug=True": "leave out -m",
}


@pytest.mark.parametrize("word", WRONG)
def test_a_mistake_is_named_before_anything_is_made(tmp_path: Path, word: str) -> None:
    trials = Trials()
    with pytest.raises((ConfigError, ConfigCompositionException)) as caught:
        sweep(tmp_path / "sweep", trials, LIST, word)
    line = explain(caught.value)
    assert WRONG[word] in line
    assert "hunter2222" not in line
    assert trials.rates == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "started",
    [{"RANK": "1", "WORLD_SIZE": "2"}, {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train"}],
)
def test_processes_that_torchrun_or_srun_started_do_not_each_run_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: dict[str, str]
) -> None:
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"-m under torchrun or srun: .* start it alone") as refusal:
        sweep(tmp_path / "sweep", Trials(), LIST)
    assert refusal.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hparams.width=interval(5)", "write hparams.width='interval(0.001,0.1)'"),
        ("hparams.width=range(a,b)", "write hparams.width='range(1,10)'"),
        ("hparams.width=16,32", "need -m"),
    ],
)
def test_a_sweep_that_cannot_be_read_is_shown_written_right(word: str, said: str) -> None:
    with (
        initialize_config_dir(str(ROOT / "config"), version_base="1.3"),
        pytest.raises(HydraException) as caught,
    ):
        compose("config", overrides=[word])
    assert said in explain(caught.value)


def test_a_password_moves_from_the_address_to_where_the_client_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://me:hunter%402@host:5432/db")
    assert storage_address(None, tmp_path) == "postgresql+psycopg://me@host:5432/db"
    assert os.environ["PGPASSWORD"] == "hunter@2"
    assert "hunter" not in os.environ["OPTUNA_STORAGE"]


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("postgresql://u:p%40w@h/d?sslmode=require&a=5", "//u@h/d?a=5&sslmode=require"),
        ("postgres://h/d?user=u&password=p%40w&sslmode=require", "//h/d?sslmode=require&user=u"),
    ],
)
def test_the_rest_of_an_address_stays_when_its_password_leaves(
    address: str, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    monkeypatch.setenv("OPTUNA_STORAGE", address)
    assert storage_address(None, tmp_path) == f"postgresql+psycopg:{left}"
    assert os.environ["PGPASSWORD"] == "p@w"


@pytest.mark.parametrize(
    "address", ["postgresql://u@h/d?sslpassword=hunter2222", "postgresql://u:p@hunter2222@h/d"]
)
def test_an_address_whose_secret_has_no_other_place_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", address)
    with pytest.raises(ConfigError, match="OPTUNA_STORAGE: ") as refusal:
        storage_address(None, tmp_path)
    assert "hunter2222" not in str(refusal.value)


def test_a_secret_is_no_parameter_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "planted-4711")
    with pytest.raises(ConfigError, match=r"tags\.a: one of its values holds a secret"):
        sweep(tmp_path / "sweep", Trials(), "tags.a=planted-4711,b")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_writes_and_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", "planted-4711")
    monkeypatch.setattr("sys.argv", ["train.py", "tags.a=planted-4711"])
    trials = Trials()

    def fail(number: int) -> None:
        if number == 1:
            raise ValueError("planted-4711 is refused")

    trials.before_end = fail
    sweep(tmp_path / "sweep", trials, "hparams.learning_rate=0.1,0.2", "tags.a=planted-4711")
    said = capsys.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"trials.csv", "optimization_results.yaml"} <= {path.name for path in files}
    assert [path for path in files if b"planted-4711" in path.read_bytes()] == []
    assert "planted-4711" not in said.out + said.err
    assert "*** is refused" in said.out
    assert "tags.a=***" in (tmp_path / "sweep/optimization_results.yaml").read_text()


def test_two_storages_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///a.db")
    assert storage_address("sqlite:///a.db", tmp_path).endswith("/a.db")
    with pytest.raises(ConfigError, match="two places"):
        storage_address("sqlite:///b.db", tmp_path)


def test_without_a_word_the_study_lies_in_its_folder(tmp_path: Path) -> None:
    assert storage_address(None, tmp_path) == f"journal:///{tmp_path}/study.journal"

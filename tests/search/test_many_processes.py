"""Whole searches in many processes, some of them killed: `make test-searches`, some minutes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import yaml
from whole_command import QUICK, ROOT

from workbench.search.study import open_storage

pytestmark = pytest.mark.skipif(
    "PATCHSETS_TEST_SEARCHES" not in os.environ, reason="minutes of processes: make test-searches"
)
POSTGRES = Path("/usr/lib/postgresql")
SEARCH = [
    *QUICK,
    "hparams.max_epochs=3",
    "loggers=[]",
    "+trainer.limit_train_batches=2",
    "+trainer.limit_val_batches=2",
    "-m",
    "hparams.learning_rate=interval(1e-4,1e-2)",
]
DEADLINE = 400.0  # seconds


def begin(folder: Path, *words: str, **variables: str) -> "subprocess.Popen[str]":
    """Start a sweep in a session of its own."""
    words = (f"hydra.sweep.dir={folder}", f"outputs={folder.parent}/outputs", *SEARCH, *words)
    (folder.parent / "console.txt").touch()
    with (folder.parent / "console.txt").open("a") as console:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "src/train.py"), *words],
            cwd=ROOT,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MLFLOW_TRACKING_URI": f"sqlite:///{folder.parent}/m.db",
            }
            | variables,
            stdout=console,
            stderr=console,
            text=True,
            start_new_session=True,
        )


def finish(folder: Path, *words: str, **variables: str) -> int:
    return begin(folder, *words, **variables).wait(DEADLINE)


def until(fact: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until something is so; fail where it cannot become so any more."""
    end = time.monotonic() + DEADLINE
    while not fact():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.05)


def journal(folder: Path) -> str:
    return f"journal:///{folder}/study.journal".replace("////", "///")


def states(folder: Path, address: str | None = None) -> list[str]:
    study = optuna.load_study(
        study_name=f"{folder.parent.name}/{folder.name}", storage=open_storage(address or journal(folder))
    )
    return [trial.state.name for trial in study.trials]


def statuses(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["status"] for path in sorted(folder.glob("*/summary.json"))]


def results(folder: Path) -> dict:
    return yaml.safe_load((folder / "optimization_results.yaml").read_text())


@pytest.mark.parametrize("launcher", ["basic", "subprocess"])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path, launcher: str) -> None:
    folder = tmp_path / "sweep"
    words = [f"hydra/launcher={launcher}", "sweep.n_trials=2", "hparams.max_epochs=40"]
    process = begin(folder, *words)
    until((folder / "0" / "checkpoints" / "last.ckpt").is_file, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 130
    assert "the same command goes on with it" in (tmp_path / "console.txt").read_text()
    assert statuses(folder) == ["interrupted"]
    assert states(folder) == ["FAIL", "WAITING"]
    assert finish(folder, *words) == 0
    assert statuses(folder) == ["finished", "finished"]
    assert "resumed" in (folder / "0" / "train.log").read_text()


def test_a_killed_sweep_loses_no_finished_trial_and_takes_up_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    process = begin(folder, "sweep.n_trials=3", "hparams.max_epochs=12")
    until(lambda: (folder / "1" / "checkpoints" / "last.ckpt").is_file(), process)
    process.kill()
    process.wait()
    assert states(folder) == ["COMPLETE", "RUNNING"]
    assert finish(folder, "sweep.n_trials=3", "hparams.max_epochs=12") == 0
    assert states(folder) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert statuses(folder) == ["finished"] * 3
    assert results(folder)["finished_trials"] == 3


def test_a_killed_trial_is_one_failure_and_an_orphan_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = [
        "hydra/launcher=subprocess",
        "hydra.launcher.n_jobs=2",
        "sweep.n_trials=3",
        "hparams.max_epochs=12",
    ]
    process = begin(folder, *words)
    until((folder / "0" / "checkpoints" / "last.ckpt").is_file, process)
    os.kill(json.loads((folder / "0" / "summary.json").read_text())["process"], signal.SIGKILL)
    until(lambda: "FAIL" in states(folder), process)
    until(lambda: states(folder).count("RUNNING") == 2, process)
    until(lambda: (folder / "2" / "checkpoints" / "last.ckpt").is_file(), process)
    process.kill()  # its trials live on
    process.wait()
    assert finish(folder, *words) == 0
    assert sorted(states(folder)) == ["COMPLETE"] * 3 + ["FAIL"]
    assert "was killed by SIGKILL" in (tmp_path / "console.txt").read_text()


def test_trials_on_two_devices_are_pruned_by_all_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = ["hydra/launcher=subprocess", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
    words += ["sweep.n_trials=2", "sweep.pruner=threshold", "sweep.pruner_options={upper: 0.1}"]
    assert finish(folder, *words) == 0
    assert states(folder) == ["PRUNED", "PRUNED"]
    assert statuses(folder) == ["pruned", "pruned"]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_of_others_work(tmp_path: Path, launcher: str) -> None:
    folder = tmp_path / "sweep"
    many = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    assert finish(folder, f"hydra/launcher={launcher}", *many, "sweep.n_trials=4") == 0
    assert states(folder) == ["COMPLETE"] * 4


def test_two_processes_share_a_fresh_sqlite_study(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    address = f"sqlite:///{tmp_path}/study.db"
    workers = [begin(folder, "sweep.n_trials=4", f"sweep.storage={address}") for _ in range(2)]
    assert [worker.wait(DEADLINE) for worker in workers] == [0, 0]
    assert states(folder, address).count("COMPLETE") in (4, 5)
    assert results(folder)["finished_trials"] in (4, 5)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Start a PostgreSQL of our own on 127.0.0.1, with a password; give port and password."""
    programs = sorted(POSTGRES.glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL is installed (Debian: apt install postgresql)")
    import socket
    import tempfile

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="patchsets-postgres-") as place:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_user:
            import shutil

            shutil.chown(place, "postgres")
        data, secret, password = f"{place}/data", Path(place) / "secret", "correct-horse-battery"
        secret.write_text(password)
        secret.chmod(0o644)
        initdb = [str(programs[-1] / "initdb"), "-D", data, "-U", "me", "-A", "scram-sha-256"]
        subprocess.run([*as_user, *initdb, f"--pwfile={secret}"], check=True, capture_output=True, cwd=place)
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {place}"
        control = [*as_user, str(programs[-1] / "pg_ctl"), "-D", data, "-w"]
        subprocess.run([*control, "-o", options, "-l", f"{place}/log", "start"], check=True, cwd=place)
        try:
            yield port, password
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=place)


def test_two_workers_on_postgresql_and_one_is_killed(tmp_path: Path, postgres: tuple[str, str]) -> None:
    port, password = postgres
    folder = tmp_path / "sweep"
    address = f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    words = ["sweep.n_trials=5", "hparams.max_epochs=8"]
    with_password = address.replace("me@", f"me:{password}@")
    first = begin(folder, *words, f"sweep.storage={address}", PGPASSWORD=password)
    second = begin(folder, *words, OPTUNA_STORAGE=with_password)
    until(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) >= 2)
    first.kill()
    first.wait()
    assert second.wait(DEADLINE) == 0
    os.environ["PGPASSWORD"] = password
    try:
        found = states(folder, address)
    finally:
        del os.environ["PGPASSWORD"]
    assert found.count("COMPLETE") == 5
    assert found.count("FAIL") == 1
    assert "was broken off; it is taken up again" in (tmp_path / "console.txt").read_text()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if password.encode() in path.read_bytes()] == []


@pytest.mark.filterwarnings("ignore")  # MLflow's own use of SQLAlchemy
def test_trials_are_children_of_the_sweep_in_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    folder = tmp_path / "sweep"
    assert finish(folder, "sweep.n_trials=2", "loggers=mlflow") == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/m.db")
    experiment = client.get_experiment_by_name("patch_sets")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert len(children) == 2
    assert parents[0].data.metrics.keys() == {"val/loss"}
    files = {item.path for item in client.list_artifacts(parents[0].info.run_id)}
    assert {"figures", "optimization_results.yaml", "trials.csv"} <= files
    assert not {"0", "1"} & files

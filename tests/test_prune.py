"""What makes room: what may go of run folders, and nothing else; a cache with a limit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from whole_command import ROOT

import runs
from workbench.common import cache
from workbench.common.cache import cached, empty_cache, trim_cache
from workbench.common.errors import ConfigError


def write_run(folder: Path, loss: float | None, status: str = "finished", **config: object) -> Path:
    """Write a run folder as train.py leaves it; `loss` is what its best epoch reached."""
    (folder / "checkpoints").mkdir(parents=True)
    own = {"_target_": "patchsets.task.classification.Classification"}
    text = yaml.safe_dump({"experiment_name": folder.parent.name, "task": own, "data": {}, **config})
    (folder / "config.yaml").write_text(text)
    (folder / "summary.json").write_text(json.dumps({"status": status, "started": 1.7e9, "ended": 1.7e9}))
    rows = [] if loss is None else [f"0,epoch,0,1,val/loss,{loss}", f"0,epoch,1,2,val/loss,{loss + 5}"]
    (folder / "metrics.csv").write_text("\n".join(["time,axis,epoch,x,name,value", *rows, ""]))
    (folder / ".lock").touch()
    for name in ("best.ckpt", "last.ckpt"):
        (folder / "checkpoints" / name).write_bytes(bytes(1000))
    return folder


def prune(outputs: Path, *words: str) -> None:
    runs.main(["prune", f"outputs={outputs}", *words])


def checkpoints(outputs: Path) -> set[str]:
    return {path.parent.parent.name for path in outputs.rglob("*.ckpt")}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Runs of two experiments that ended in every way."""
    outputs = tmp_path / "outputs"
    write_run(outputs / "one/best", 0.1)
    write_run(outputs / "one/worse", 0.2)
    write_run(outputs / "one/nan", float("nan"))
    write_run(outputs / "one/interrupted", 0.3, "interrupted")
    write_run(outputs / "one/failed", None, "failed")
    write_run(outputs / "one/dead", 0.01, "running")
    write_run(outputs / "one/debug", 0.01, debug=True)
    write_run(outputs / "one/other_data", 0.9, data={"_target_": "patchsets.data.mnist.Mnist"})
    write_run(outputs / "two/only", 0.8)
    (outputs / "one/latest").symlink_to("dead")
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest/one").symlink_to("../outputs/one/dead")
    return outputs


def test_what_may_go_is_shown_and_nothing_is_removed(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(outputs.rglob("*"))
    prune(outputs)
    said = capsys.readouterr().out
    assert [name for name in ("worse", "nan", "dead", "debug") if f"\n{name} " not in said] == []
    assert [
        name for name in ("best", "interrupted", "failed", "other_data", "only") if f"\n{name} " in said
    ] == []
    assert "of at most 20,000.0 MB" in said
    assert sorted(outputs.rglob("*")) == before


def test_the_best_of_each_experiment_and_what_can_go_on_stay(outputs: Path) -> None:
    prune(outputs, "remove")
    assert checkpoints(outputs) == {"best", "interrupted", "failed", "other_data", "only"}
    assert (outputs / "one/worse/metrics.csv").is_file()
    assert not (outputs / "one/dead").exists()
    assert not (outputs / "one/debug").exists()
    assert not (outputs / "one/latest").is_symlink()
    assert not (outputs.parent / "latest/one").is_symlink()


def test_conditions_choose_among_the_runs_but_not_which_is_best(outputs: Path) -> None:
    prune(outputs, "remove", "run=worse")
    assert not (outputs / "one/worse/checkpoints/best.ckpt").exists()
    assert (outputs / "one/dead").is_dir()
    prune(outputs, "remove", "experiment_name=two")
    assert (outputs / "two/only/checkpoints/best.ckpt").exists()


def test_a_metric_that_the_run_names_chooses_the_best(tmp_path: Path) -> None:
    task = {"_target_": "mine.Task", "monitor": "val/loss", "monitor_mode": "max"}
    write_run(tmp_path / "one/low", 0.1, task=task)
    write_run(tmp_path / "one/high", 0.9, task=task)
    prune(tmp_path, "remove")
    assert checkpoints(tmp_path) == {"high"}


def test_the_best_trial_of_a_sweep_stays(tmp_path: Path) -> None:
    for number, loss in enumerate((0.1, 0.2, 0.3)):
        write_run(tmp_path / f"one/sweep/{number}", loss, experiment_name="one")
        (tmp_path / f"one/sweep/{number}/trial.json").write_text("{}")
    (tmp_path / "one/sweep/optimization_results.yaml").write_text("best: {trial: '2'}\n")
    prune(tmp_path, "remove")
    assert checkpoints(tmp_path) == {"0", "2"}


def test_every_repetition_of_the_best_trial_stays(tmp_path: Path) -> None:
    for number, loss in enumerate((0.1, 0.2, 0.3)):
        write_run(tmp_path / f"one/sweep/{number}", loss, experiment_name="one")
        (tmp_path / f"one/sweep/{number}/trial.json").write_text("{}")
    (tmp_path / "one/sweep/optimization_results.yaml").write_text("best: {trials: ['1', '2']}\n")
    prune(tmp_path, "remove")
    assert checkpoints(tmp_path) == {"0", "1", "2"}


def test_a_dead_run_of_another_machine_stays(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one/dead", 0.5, "running")
    (folder / "environment.json").write_text('{"host": "another"}')
    prune(tmp_path, "remove")
    assert folder.is_dir()


def test_a_run_that_is_written_and_trials_of_a_living_sweep_stay(tmp_path: Path) -> None:
    running = write_run(tmp_path / "one/running", 0.5, "running")
    resumed = write_run(tmp_path / "one/resumed", 0.5)
    write_run(tmp_path / "one/best", 0.1)
    trial = write_run(tmp_path / "one/sweep/0", 0.5, "running", experiment_name="one")
    (trial / "trial.json").write_text("{}")
    locks = [
        FileLock(running / ".lock"),
        FileLock(resumed / ".lock"),
        FileLock(trial.parent / ".worker-a.lock"),
    ]
    for lock in locks:
        lock.acquire()
    try:
        prune(tmp_path, "remove")
        assert checkpoints(tmp_path) == {"running", "resumed", "best", "0"}
    finally:
        for lock in locks:
            lock.release()


def test_no_link_is_followed_and_no_other_folder_touched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "best.ckpt").write_text("mine")
    outputs = tmp_path / "outputs"
    write_run(outputs / "one/best", 0.1)
    linked = write_run(outputs / "one/linked", 0.2)
    for path in (linked / "checkpoints").iterdir():
        path.unlink()
    (linked / "checkpoints").rmdir()
    (linked / "checkpoints").symlink_to(precious)
    dead = write_run(outputs / "one/dead", 0.2, "running")
    (dead / "data").symlink_to(precious)
    file = write_run(outputs / "one/file", 0.2)
    (file / "checkpoints/kept.ckpt").symlink_to(precious / "best.ckpt")
    strange = write_run(outputs / "one/strange", 0.2, "running")
    (strange / ".lock").unlink()  # no run folder of train.py's
    prune(outputs, "remove")
    assert (precious / "best.ckpt").read_text() == "mine"
    assert not dead.exists()
    assert strange.is_dir()


@pytest.mark.parametrize("words", [["everything"], ["remove", "cache"], ["cache", "run=a"]])
def test_another_word_is_refused(outputs: Path, words: list[str]) -> None:
    with pytest.raises(ConfigError, match="prune: "):
        runs.main(["prune", *words])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, which this process uses nothing of."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "_IN_USE", {})
    return tmp_path / "patchsets"


def make(number: int) -> Path:
    return cached("numbers", {"n": number}, lambda folder: (folder / "a").write_bytes(bytes(1000)) and None)


def forget(folder: Path, used: float) -> None:
    """Let go of an entry, as a process does that ends, and let it be used last at a Unix time."""
    os.close(cache._IN_USE.pop(folder))
    os.utime(folder, (used, used))


def test_what_was_used_longest_ago_goes_where_the_cache_is_full(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(1), make(2)
    forget(first, 2000.0)
    forget(second, 1000.0)
    monkeypatch.setenv("PATCHSETS_CACHE_GB", "0.0000025")
    third = make(3)
    assert (first.is_dir(), second.is_dir(), third.is_dir()) == (True, False, True)
    assert make(2) == second


def test_processes_that_fill_a_small_cache_at_once_do_not_trip_over_each_other(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHSETS_CACHE_GB", "0.000003")
    code = "import os, test_prune\nfor n in range(40):\n    used = test_prune.make(n)\n"
    code += "    os.close(test_prune.cache._IN_USE.pop(used))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])}
    several = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [process.wait() for process in several] == [0, 0, 0]


def test_what_a_process_uses_stays(place: Path) -> None:
    code = "import test_prune, sys; print(test_prune.make(1), flush=True); sys.stdin.read()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=-1, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        assert trim_cache(0) == 0
        assert folder.is_dir()
        other.communicate()
    assert trim_cache(0) > 1000
    assert not folder.exists()


def test_a_word_empties_the_cache_downloads_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget(make(1), 1000.0)
    (place / "mnist.npz").write_bytes(bytes(1_000_000))
    runs.main(["prune", "cache"])
    assert capsys.readouterr().out.startswith("removed 1.0 MB from ")
    assert not list(place.rglob("parameters.json"))
    assert not (place / "mnist.npz").exists()
    assert empty_cache() == 0


def test_a_limit_that_is_no_number_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHSETS_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="PATCHSETS_CACHE_GB=much"):
        make(1)

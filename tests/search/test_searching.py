"""A sweep reaches its goal, records what fails, and goes on where it was stopped."""

import csv
import math
import shutil
import threading
from pathlib import Path

import optuna
import pytest
import yaml
from pretend import Trials, sweep

from workbench.common.errors import ConfigError
from workbench.run.summary import Recording
from workbench.search.report import Report
from workbench.search.results import Goal
from workbench.search.space import Space
from workbench.search.study import open_storage
from workbench.search.worker import KEY

GRID = ["hparams.learning_rate=1e-3,1e-2,1e-1", "hparams.batch_size=32,64"]
STUDY = ["hparams.learning_rate=tag(log, interval(1e-5,1e-1))", "sweep.n_trials=4"]


def results(folder: Path) -> dict:
    return yaml.safe_load((folder / "optimization_results.yaml").read_text())


def open_study(folder: Path) -> optuna.Study:
    storage = open_storage(f"journal:///{folder}/study.journal".replace("////", "///"))
    return optuna.load_study(study_name=f"{folder.parent.name}/{folder.name}", storage=storage)


def test_a_grid_is_run_whole_and_again_only_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "grid"
    trials = Trials()
    assert sweep(folder, trials, *GRID) == 0
    assert sorted(trials.rates) == [1e-3, 1e-3, 1e-2, 1e-2, 1e-1, 1e-1]
    assert trials.folders == ["0", "1", "2", "3", "4", "5"]
    best = results(folder)["best"]
    assert best["values"] == {"val/loss": 0.0}
    assert best["command"].endswith("hparams.learning_rate=0.001 hparams.batch_size=32")
    for path in (folder / "3").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "3").rmdir()
    again = Trials()
    assert sweep(folder, again, *GRID) == 0
    assert again.folders == ["3"]
    assert "6 trials (every combination), 5 finished already" in capsys.readouterr().out


def break_second(number: int) -> None:
    if number == 2:
        raise ValueError("no such luck")


def test_what_fails_is_named_with_its_log_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = Trials()
    trials.before_end = break_second
    assert sweep(tmp_path / "grid", trials, *GRID) == 1
    shown = capsys.readouterr().out
    assert "trial 1 failed: no such luck" in shown
    assert f"log: {tmp_path}/grid/1" in shown
    assert results(tmp_path / "grid")["failed_trials"] == ["1"]
    states = {row["trial"]: row["state"] for row in rows_of(tmp_path / "grid")}
    assert states == {"0": "finished", "1": "failed"} | {str(n): "finished" for n in range(2, 6)}
    again = Trials()
    assert sweep(tmp_path / "grid", again, *GRID) == 0
    assert (again.folders, again.resumed) == (["1"], [True])
    assert results(tmp_path / "grid")["failed_trials"] == []


def test_a_study_counts_finished_trials_and_goes_on_with_a_farther_goal(tmp_path: Path) -> None:
    trials = Trials()
    trials.before_end = break_second
    assert sweep(tmp_path / "study", trials, *STUDY) == 0
    assert len(trials.rates) == 5
    more = Trials()
    assert sweep(tmp_path / "study", more, *STUDY, "sweep.n_trials=6") == 0
    assert more.folders == ["5", "6"]
    figures = {path.name for path in (tmp_path / "study" / "figures").iterdir()}
    assert figures == {"history.png", "parallel_coordinates.png", "val_loss by learning_rate.png"}
    done = [row for row in rows_of(tmp_path / "study") if row["state"] == "finished"]
    losses = [float(row["val/loss"]) for row in done]
    assert losses == sorted(losses)
    assert len(losses) == 6


def test_a_stopped_search_asks_for_what_an_uninterrupted_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop_at_third(number: int) -> None:
        if number == 3:
            raise SystemExit(130)

    whole, stopped, rest = Trials(), Trials(), Trials()
    stopped.before_end = stop_at_third
    assert sweep(tmp_path / "whole", whole, *STUDY) == 0
    assert sweep(tmp_path / "stopped", stopped, *STUDY) == 130
    assert "the same command goes on with it" in capsys.readouterr().out
    assert len(rows_of(tmp_path / "stopped")) == 2
    assert sweep(tmp_path / "stopped", rest, *STUDY) == 0
    assert stopped.rates == whole.rates[:3]
    assert rest.rates[0] == whole.rates[2]
    assert (rest.folders[0], rest.resumed[0]) == ("2", True)
    assert len(rest.rates) == 2


def test_the_trial_of_a_dead_worker_is_taken_up_again(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    assert sweep(folder, Trials(), *STUDY[:1], "sweep.n_trials=1") == 0
    study = open_study(folder)
    dead, done = study.ask(), study.ask()
    for trial in (dead, done):
        trial.suggest_float("hparams.learning_rate", 1e-5, 1e-1, log=True)
        trial.set_user_attr(KEY, "a-worker-that-died")
    (folder / ".worker-a-worker-that-died.lock").touch()
    (folder / "2").mkdir()
    recording = Recording(folder / "2")
    recording.begin()
    (folder / "2" / "metrics.csv").write_text("time,axis,epoch,step,name,value\n0,epoch,0,1,val/loss,0.5\n")
    recording.write_end("finished", {}, None)
    recording.release()
    trials = Trials()
    assert sweep(folder, trials, *STUDY[:1], "sweep.n_trials=3") == 0
    assert trials.rates == [dead.params["hparams.learning_rate"]]
    assert trials.folders == ["1"]
    told = open_study(folder).trials[done.number]
    assert (told.state.name, told.values) == ("COMPLETE", [0.5])


def test_workers_write_the_results_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(value=1.0))
    goal = Goal("val/loss", "min", ["val/loss"], ["minimize"], 1)
    one, other = (Report(study, Space([], []), goal, tmp_path) for _ in range(2))
    thread, replace = threading.Thread(target=other.write), Path.replace

    def meet(path: Path, target: Path) -> Path:
        if thread.ident is None:
            thread.start()
            thread.join(0.3)  # it must wait, and would else take the file away
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", meet)
    one.write()
    thread.join()
    assert results(tmp_path)["finished_trials"] == 1


def test_a_search_that_only_fails_gives_up(tmp_path: Path) -> None:
    def always(number: int) -> None:
        raise ValueError("no such luck")

    trials = Trials()
    trials.before_end = always
    assert sweep(tmp_path / "study", trials, *STUDY, "sweep.n_trials=50") == 1
    assert len(trials.rates) == 10


def test_several_directions_give_all_trials_that_no_other_beats(tmp_path: Path) -> None:
    words = ["sweep.metric=[val/loss,val/accuracy]", "sweep.direction=[minimize,minimize]"]
    assert sweep(tmp_path / "study", Trials(), *STUDY, *words) == 0
    found = results(tmp_path / "study")
    assert found["metrics"] == {"val/loss": "minimize", "val/accuracy": "minimize"}
    assert len(found["best"]) == 4  # the lower the one, the higher the other


@pytest.mark.parametrize("sampler", ["random", "gp", "qmc", "nsgaii"])
def test_every_sampler_gives_trials_within_the_bounds(tmp_path: Path, sampler: str) -> None:
    trials = Trials()
    assert sweep(tmp_path / "study", trials, *STUDY, f"sweep.sampler={sampler}") == 0
    assert len(set(trials.rates)) == 4
    assert all(1e-5 <= rate <= 1e-1 for rate in trials.rates)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_finished_run_is_finished_whatever_it_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = Trials()
    trials.validates = False
    words = ["seed=range(0,11)", "hparams.learning_rate=1e-2"]
    assert sweep(tmp_path / "grid", trials, *words) == 0
    said = capsys.readouterr().out
    assert len(trials.rates) == 11 and results(tmp_path / "grid")["finished_trials"] == 11
    assert "trial 3: finished, test/loss 1.42857, test/accuracy 0.53\n" in said  # nothing is sought here
    assert "trial  seed  test/loss  test/accuracy" in said
    assert "best" not in said and "failed" not in said
    assert {row["state"] for row in rows_of(tmp_path / "grid")} == {"finished"}
    again = Trials()
    assert sweep(tmp_path / "grid", again, *words) == 0 and again.rates == []


def test_a_metric_that_no_run_logs_is_said_and_fails_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hparams.learning_rate=1e-3,1e-2", "sweep.metric=val/f1", "sweep.direction=maximize"]
    assert sweep(tmp_path / "grid", Trials(), *words) == 0
    said = capsys.readouterr().out
    assert "finished, the run logged no val/f1; it logged val/accuracy, val/loss" in said
    assert results(tmp_path / "grid")["best"] == []
    trials = Trials()
    assert sweep(tmp_path / "study", trials, *STUDY, *words[1:], "sweep.n_trials=50") == 1
    assert len(trials.rates) == 10  # a search that learns nothing gives up


def test_a_search_never_chooses_by_the_test_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep.metric: test/loss is of the test split"):
        sweep(tmp_path / "grid", Trials(), *GRID, "sweep.metric=test/loss", "sweep.direction=minimize")


def test_a_grid_over_seeds_is_one_result_and_never_a_best_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path / "grid", Trials(), "seed=0,1,2", "hparams.learning_rate=1e-2") == 0
    said = capsys.readouterr().out
    assert "mean ± standard deviation over seed, 3 runs:" in said and "best" not in said
    assert "test/accuracy  0.51 ± 0.01\n" in said and "val/loss       1.111 ± 0.11\n" in said
    found = results(tmp_path / "grid")
    assert found["best"] == [] and found["repeats"][0]["means"]["test/accuracy"] == pytest.approx(0.51)
    assert not (tmp_path / "grid/figures").exists()


def test_a_choice_among_seeds_is_made_by_their_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path / "grid", Trials(), "hparams.learning_rate=1e-2,1e-3", "seed=0,6") == 0
    said = capsys.readouterr().out
    assert "best: hparams.learning_rate=0.001, val/loss 0.3333 ± 0.47 over seed" in said
    best = results(tmp_path / "grid")["best"]
    assert best["trials"] == ["2", "3"] and best["deviations"]["val/loss"] == pytest.approx(2**0.5 / 3)
    assert best["command"].endswith("hparams.learning_rate=0.001 seed=0,6 -m")


def test_the_table_holds_all_digits_test_metrics_seconds_and_folders(tmp_path: Path) -> None:
    assert sweep(tmp_path / "grid", Trials(), "hparams.learning_rate=0.0012345678901,1e-2") == 0
    first, _ = rows_of(tmp_path / "grid")
    accuracy = 1 / (1 + float(first["val/loss"]))
    assert float(first["val/accuracy"]) == accuracy  # of the epoch that was kept, also where nobody seeks it
    assert first["learning_rate"] == "0.0012345678901" and first["folder"] == str(tmp_path / "grid/0")
    assert float(first["val/loss"]) == (math.log10(0.0012345678901) + 3) ** 2 == float(first["test/loss"])
    assert first["state"] == "finished" and float(first["seconds"]) >= 0

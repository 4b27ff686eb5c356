"""src/compare.py on runs that really train, of data with folds that nobody here wrote, in one process."""

import csv
import json
import weakref
from pathlib import Path

import pytest
import yaml
from in_process import start
from omegaconf import DictConfig
from pretend import sweep
from scipy import stats

import compare
from workbench.common.errors import ConfigError, Interrupted
from workbench.train.base import RunTask
from workbench.train.experiment import run
from workbench.train.training import build_task

OWN = """
import torch
from patchsets.data.vector_sets import LabelledSets, VectorSets


class Folded(VectorSets):
    classes = ["low", "high"]

    def __init__(self, fold: int, broken: bool = False, **sets: int) -> None:
        super().__init__(**sets)
        self.fold, self.broken = fold, broken

    def read(self) -> dict[str, LabelledSets]:
        if self.broken and self.fold == 1:
            raise ValueError("a fold that nobody can read")
        random = torch.Generator().manual_seed(0)
        values, label = torch.rand(120, 2, generator=random), torch.arange(40) % 2
        values[label.repeat_interleave(3) == 1] += 0.3
        nothing = torch.zeros(120, dtype=torch.long)
        whole = LabelledSets(values, torch.full((40,), 3), label, nothing, torch.arange(40))
        is_test = torch.arange(40) // 2 % 4 == self.fold
        train, test = (whole.take(torch.nonzero(part).squeeze(1)) for part in (~is_test, is_test))
        return {"train": train, "val": test, "test": test}
"""
MODELS = "model=deep_sets,attention_pool"
FOLDS = "data.fold=0,1"


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words for a quick run of data with folds, without validation."""
    (tmp_path / "own_folds.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("patchsets.task.task.write_report", lambda *_: None)  # figures, which take longest
    return [
        "trusted_targets=[own_folds.]", f"outputs={tmp_path / 'outputs'}", "data=bags",
        "data._target_=own_folds.Folded", "++data.fold=0", "hparams.width=8", "hparams.depth=1",
        "hparams.max_epochs=1", "hparams.batch_size=8", "loggers=[]", "+trainer.limit_val_batches=0",
    ]  # fmt: skip


def folders(place: Path) -> list[Path]:
    return sorted(path.parent for path in place.glob("outputs/*/*/summary.json"))


def test_any_task_is_compared_over_folds(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    tasks: list[weakref.ref[RunTask]] = []

    def remember(config: DictConfig) -> RunTask:
        left.append(sum(task() is not None for task in tasks))
        task = build_task(config)
        tasks.append(weakref.ref(task))
        return task

    monkeypatch.setattr("workbench.train.training.build_task", remember)
    with pytest.raises(ConfigError, match="metric: no run has test/acuracy: did you mean accuracy"):
        compare.compare([*words, MODELS, FOLDS, "metric=acuracy"])
    assert len(folders(tmp_path)) == 1  # it is known after the first run
    capsys.readouterr()
    left.clear()
    table = tmp_path / "tables" / "table.csv"
    assert (
        compare.compare([*words, MODELS, FOLDS, f"output={table}", f"output={table.with_suffix('.tex')}"])
        == 0
    )
    said = capsys.readouterr().out
    assert "[3/3] model=attention_pool data.fold=1" in said and "corrected resampled t-test" in said
    assert "epoch" not in said  # which stands in each run's console.txt
    assert left == [0, 0, 0]  # no run keeps the data of one before
    runs = {}
    for folder in folders(tmp_path):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        name = (config["model"]["_target_"].split(".")[2], config["data"]["fold"])
        runs[name] = json.loads((folder / "summary.json").read_text())["metrics"]["test/accuracy"]
        assert (folder / "console.txt").is_file()
    with table.open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    for model, row in rows.items():
        reached = [runs[model, fold] for fold in range(2)]
        assert float(row["accuracy"]) == pytest.approx(sum(reached) / 2) and row["runs"] == "2"
        assert float(row["accuracy_se"]) == pytest.approx(stats.sem(reached))
    assert "\\toprule" in table.with_suffix(".tex").read_text()


def test_what_has_no_effect_makes_no_other_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(*words, "model=deep_sets", "note=before", "save_model=false", "seed=1")
    idle = [
        "note=later",
        "tags.why=that",
        "trainer.accelerator=cpu",
        "+data.num_workers=0",
        "experiment_name=x",
    ]
    idle += ["+task.label_smoothing=0", "+model.attention=null", "trainer.log_every_n_steps=3"]
    idle = [word for word in idle if "attention" not in word]
    assert compare.compare([*words, *idle, "model=deep_sets", "seed=1"]) == 0
    assert "1 runs in the grid, 1 of them finished before" in capsys.readouterr().out
    assert compare.compare([*words, "model=deep_sets", "seed=1", "+task.label_smoothing=0.1"]) == 0
    assert "1 runs in the grid, 0 of them finished before" in capsys.readouterr().out
    (folders(tmp_path)[0].parent.parent / "x" / "damaged").mkdir(parents=True)
    damaged = folders(tmp_path)[0].parent.parent / "x" / "damaged"
    (damaged / "config.yaml").write_text("{")
    (damaged / "summary.json").write_text('{"status": "finished"}')
    assert compare.compare([*words, "model=deep_sets", "seed=1"]) == 0
    assert "1 of them finished before" in capsys.readouterr().out


def test_a_run_that_fails_is_named_and_the_others_go_on(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.compare([*words, "model=deep_sets", FOLDS, "++data.broken=true"]) == 1
    said = capsys.readouterr().out
    assert "[2/2] data.fold=1 failed: ValueError: a fold that nobody can read (" in said
    failed = next(folder for folder in folders(tmp_path) if "nobody" in (folder / "summary.json").read_text())
    assert "Traceback" in (failed / "console.txt").read_text()


def test_what_was_broken_off_goes_on_in_its_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> dict[str, float]:
        raise Interrupted(2)

    grid_words = [*words, "model=deep_sets", FOLDS]
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("workbench.train.experiment._train", interrupt)
        compare.compare(grid_words)
    assert "[1/2] data.fold=0" in capsys.readouterr().out and len(folders(tmp_path)) == 1
    assert compare.compare(grid_words) == 0
    assert "after it was broken off)" in capsys.readouterr().out
    assert len(folders(tmp_path)) == 2


def test_folds_without_validation_are_one_result_of_a_sweep(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path / "multirun" / "folds" / "1", run, *words, "model=deep_sets", FOLDS) == 0
    said = capsys.readouterr().out
    assert "mean ± standard deviation over data.fold, 2 runs:" in said and "best" not in said
    assert compare.compare([*words, "model=deep_sets", FOLDS]) == 0  # by the trials
    assert "2 of them finished before" in capsys.readouterr().out

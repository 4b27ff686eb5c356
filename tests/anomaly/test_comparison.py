"""One command fills a grid of runs and tells their methods apart, or says that it cannot."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hydra.core.utils import JobReturn, JobStatus
from judged_examples import scored
from sklearn.metrics import roc_auc_score

import compare
from patchsets.anomaly.comparison import compare_runs, read_rows
from patchsets.anomaly.predictions import write_predictions
from patchsets.anomaly.thresholds import choose_threshold
from workbench.common.errors import ConfigError, DataError
from workbench.common.files import write_json
from workbench.run.provenance import write_provenance
from workbench.run.summary import read_summary
from workbench.search import grid
from workbench.search.grid import Cell

ANOMALIES = "task=autoencoder"
GRID = ["data.category=part,brick", "seed=0,1", ANOMALIES, "loggers=[]"]


def leave_run(folder: Path, shift: float, seed: int, images: int = 60) -> None:
    """Write what a finished run leaves, its anomalies scoring higher by `shift`."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    good, noise = random.normal(size=(2, images))
    test, validation = scored(good, noise + shift), scored(random.normal(size=50), np.array([]))
    write_predictions(folder / "predictions.csv", test, validation, choose_threshold("quantile", validation))
    auroc = float(roc_auc_score(test.label, test.score))
    metrics = {"test/auroc": auroc, "test/trivial_auroc": 0.55, "test/recall": 0.5}
    write_json(folder / "summary.json", {"status": "finished", "metrics": metrics})


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let runs leave their folders at once, in place of training; returns what was run."""
    done: list[list[str]] = []

    def run_here(cell: Cell, folder: Path, train: object) -> JobReturn:
        done.append(list(cell.words))
        if "seed=1" in cell.words and len(done) < 5:
            folder.mkdir(parents=True)
            write_json(folder / "summary.json", {"status": "failed", "error": "the loss became nan"})
            (folder / "console.txt").write_text("")
        else:
            leave_run(folder, 1.0 + ("data.category=brick" in cell.words), len(done) - 1)
            write_provenance(folder, cell.config, list(cell.words))
        return JobReturn(status=JobStatus.COMPLETED)

    monkeypatch.setattr(grid, "_run_here", run_here)
    monkeypatch.setattr("workbench.run.provenance.environment", lambda config: {})
    return done


def test_a_grid_is_filled_once_and_then_only_where_it_is_missing(
    pretend: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*GRID, f"outputs={tmp_path / 'outputs'}", f"output={tmp_path / 'results.csv'}"]
    assert compare.compare(words) == 1  # two of the runs failed
    said = capsys.readouterr().out
    assert len(pretend) == 4 and "[4/4] data.category=brick seed=1" in said
    assert said.count("failed: the loss became nan") == 2
    assert [word[-2:] for word in pretend[1:3]] == [
        ["data.category=part", "seed=1"],
        ["data.category=brick", "seed=0"],
    ]

    pretend.append([])  # from now on nothing fails
    assert compare.compare(words) == 0
    said = capsys.readouterr().out
    assert "4 runs in the grid, 2 of them finished before" in said and len(pretend) == 7
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["data.category"], row["runs"]) for row in rows] == [("part", "2"), ("brick", "2")]
    assert compare.compare(words) == 0 and len(pretend) == 7


def test_a_run_counts_by_what_it_was_not_by_what_was_typed(pretend: list[list[str]], tmp_path: Path) -> None:
    where = f"outputs={tmp_path / 'outputs'}"
    compare.compare([where, ANOMALIES, "seed=3", "experiment_name=one"])
    compare.compare(
        [where, ANOMALIES, "hparams.batch_size=16", "data=anomaly_demo", "seed=3", "tags.author=me"]
    )
    assert len(pretend) == 1
    compare.compare([where, ANOMALIES, "hparams.batch_size=65", "seed=3"])
    assert len(pretend) == 2
    (tmp_path / "multirun" / "anomaly").mkdir(parents=True)
    next((tmp_path / "outputs").iterdir()).rename(tmp_path / "multirun" / "anomaly" / "sweep")
    compare.compare([where, ANOMALIES, "seed=3"])
    assert len(pretend) == 2  # a trial of a sweep counts too
    without_effect = ["note=why", "save_model=false", "+trainer.enable_progress_bar=false"]
    compare.compare([where, ANOMALIES, "seed=3", *without_effect, "+data.num_workers=1"])
    assert len(pretend) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["output=results.doc"], "output=results.doc: name a file that ends in .txt, .md, .tex, .csv"),
        (["output=README.md/results.md"], "output=README.md/results.md: a file is in its place"),
        (["hparams.learning_rate=interval(0.1,1)"], "a grid wants values"),
        (["hparams.optimizer=Adam,Adum"], "Adum"),
        (["data=folder"], "data.root: it comes from the environment; say here which"),
        (["debug=True"], "debug: it is for one run of src/train.py; leave it out here"),
        (["hparams.headz=1,2"], "hparams.headz"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    words: list[str], message: str, pretend: list[list[str]]
) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        compare.compare(words)
    assert not pretend


def test_the_table_tells_what_the_images_can_tell(tmp_path: Path) -> None:
    runs = []
    # The same images and noise in each method: the differences are paired, and clear or not by their size.
    for method, shift in (("good", 2.0), ("nearly", 1.98), ("bad", 0.5)):
        for seed in (0, 1):
            folder = tmp_path / f"{method}{seed}"
            leave_run(folder, shift, seed)
            runs.append(({"task": method, "seed": str(seed)}, folder))
    table = compare_runs(runs)
    best, nearly, bad = rows = read_rows(runs)
    assert [row.varied for row in rows] == [{"task": name} for name in ("good", "nearly", "bad")]
    mean = np.mean([run.metrics["test/auroc"] for run in best.runs])
    low, high = best.interval
    assert best.mean("auroc") == pytest.approx(mean) and low < mean < high
    assert best.spread == pytest.approx(
        abs(np.diff([run.metrics["test/auroc"] for run in best.runs])[0]) / 2**0.5
    )
    assert best.behind == (0, False) and bad.behind is not None and bad.behind[1]
    assert nearly.behind is not None and 0 < nearly.behind[0] < 0.01
    text = table.as_text().splitlines()
    assert text[0].split()[:3] == ["task", "AUROC", "95"] and "best" in text[2] and "0.550" in text[2]
    assert table.as_markdown().startswith("| task | AUROC | 95 % | behind |")
    assert not table.remarks and table.best == [0]
    metrics = read_summary(tmp_path / "bad0")["metrics"] | {"test/trivial_auroc": 0.95}
    write_json(tmp_path / "bad0/summary.json", {"status": "finished", "metrics": metrics})
    low = compare_runs([({"task": "bad", "seed": "0"}, tmp_path / "bad0")])
    assert all("no better: bad auroc 0.6" in text for text in (low.as_text(), low.as_markdown()))
    assert bad.mean("au_pro") is None and "nan" not in table.as_text()


def test_a_run_without_anomaly_predictions_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"status": "finished", "metrics": {}})
    with pytest.raises(DataError, match=r"predictions\.csv cannot be read"):
        compare_runs([({"task": "classification"}, tmp_path)])

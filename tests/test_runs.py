"""Runs are listed, chosen, sorted and compared from their folders alone."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from whole_command import ROOT

import runs
from workbench.common.errors import ConfigError
from workbench.config.command import quote_note
from workbench.history.record import find_run, read_runs


def write_run(root: Path, name: str, **values: Any) -> Path:
    """Write a run folder as train.py leaves it, a trial's where its name is a number.

    `values` stand beside those every run has.
    """
    folder = root / name
    folder.mkdir(parents=True)
    config = {
        "experiment_name": name.partition("/")[0],
        "tags": values.get("tags", {}),
        "note": values.get("note", ""),
        "seed": 0,
        "hparams": {"width": 64, "optimizer": "AdamW", "patches": None} | values.get("hparams", {}),
        "data": {"_target_": "patchsets.data.mnist.Mnist", "patch_size": 7},
        "model": {"_target_": "patchsets.model.cnn.Cnn", "width": "${hparams.width}"},
        "task": {"_target_": "patchsets.task.classification.Classification"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(values.get("overrides", [])))
    summary = {"status": "finished", "started": values.get("started", 1.7e9), "ended": 1.7e9 + 60}
    (folder / "summary.json").write_text(json.dumps(summary | {"metrics": values.get("metrics", {})}))
    if folder.name.isdigit():
        (folder / "trial.json").write_text("{}")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs of two experiments, one damaged folder and one that is nobody's."""
    write_run(tmp_path, "mnist/a", tags={"author": "me"}, metrics={"test/accuracy": 0.9}, started=1.7e9)
    write_run(
        tmp_path,
        "mnist/b",
        tags={"author": "me", "idea": "wider"},
        hparams={"width": 128},
        note="is width, or depth, what helps?",
        metrics={"test/accuracy": 0.95},
        overrides=["task=mnist_b"],
        started=1.7e9 + 9,
    )
    write_run(tmp_path, "digits/sweep/0", hparams={"optimizer": "SGD"}, started=1.7e9 - 9)
    (tmp_path / "mnist/latest").symlink_to("b")
    write_run(tmp_path, "mnist/damaged")
    (tmp_path / "mnist/damaged/config.yaml").write_text("hparams: {width")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs/cat.png").write_bytes(b"\x89PNG")
    return tmp_path


@pytest.fixture
def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run runs.py, and return the names of the runs it lists, in order."""

    def call(*words: str) -> list[str]:
        runs.main([f"outputs={root}", "format=json", *words])
        return [row["run"] for row in json.loads(capsys.readouterr().out)]

    return call


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["b", "a", "sweep/0"]),
        (["experiment_name=mnist", "tags.author=me"], ["b", "a"]),
        (["tags.idea=wider"], ["b"]),
        (["tags.idea!=wider"], ["a", "sweep/0"]),
        (["test/accuracy>0.92"], ["b"]),
        (["test/accuracy<=0.9"], ["a"]),
        (["hparams.width=128"], ["b"]),
        (["hparams.optimizer=SGD,Lion"], ["sweep/0"]),
        (["hparams.patches=null", "data=mnist", "model=cnn"], ["b", "a", "sweep/0"]),
        (["task=mnist_b"], ["b"]),
        (["note=*depth*"], ["b"]),
        (["status=failed"], []),
        (["sort=test/accuracy"], ["a", "b", "sweep/0"]),
        (["sort=-test/accuracy"], ["b", "a", "sweep/0"]),
        (["sort=hparams.optimizer"], ["b", "a", "sweep/0"]),
    ],
)
def test_runs_are_chosen_and_sorted_by_the_words_of_train(
    listed: Any, words: list[str], names: list[str]
) -> None:
    assert listed(*words) == names


def test_last_value_of_a_metric_that_is_no_result(listed: Any, root: Path) -> None:
    lines = ["time,axis,epoch,step,name,value", "1,epoch,0,9,val/loss,0.5", "2,epoch,1,19,val/loss,0.3"]
    (root / "mnist/a/metrics.csv").write_text("\n".join(lines) + "\n")
    assert listed("val/loss<0.4") == ["a"]
    assert listed("val/loss>0.4") == []
    with pytest.raises(ConfigError, match=r"val/los: .* did you mean val/loss\?"):
        listed("sort=val/los")


def test_a_table_shows_what_differs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.main([f"outputs={root}", "experiment_name=mnist"])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["run", "experiment_name", "status", "seconds"]
    assert {"tags.idea", "hparams.width", "task", "test/accuracy", "note"} <= set(header.split())
    assert not {"hparams.optimizer", "seed", "data"} & set(header.split())
    assert first.split()[0] == "b" and "is width, or depth, what helps?" in first
    assert second.endswith("-")


def test_csv_holds_every_parameter(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.main([f"outputs={root}", "format=csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["hparams.width"] for row in rows] == ["128", "64", "64"]
    assert Path(rows[0]["folder"]) == root / "mnist/b"


def test_damaged_and_foreign_folders_are_left_out_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.main([f"outputs={root}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "damaged (its config.yaml cannot be read" in line and "photographs (it has no config.yaml)" in line


def test_the_figures_of_a_sweep_are_no_damaged_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "mnist/0ef60d/0")
    (tmp_path / "mnist/0ef60d/figures").mkdir()
    (tmp_path / "mnist/0ef60d/figures/history.png").touch()
    (tmp_path / "mnist/0ef60d/optimization_results.yaml").touch()
    assert [run.name for run in read_runs([tmp_path])] == ["0ef60d/0"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("below", ["", "mnist", "mnist/0ef60d"])
def test_a_trial_is_called_after_its_sweep_wherever_one_looks_from(tmp_path: Path, below: str) -> None:
    write_run(tmp_path, "mnist/0ef60d/0")
    (trial,) = read_runs([tmp_path / below])
    assert trial.name == "0ef60d/0"
    assert find_run(str(trial.folder), []).name == "0ef60d/0"


def test_differences_of_two_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.main([f"outputs={root}", "format=json", "diff", str(root / "mnist/a"), "b"])
    rows = {row["key"]: (row["a"], row["b"]) for row in json.loads(capsys.readouterr().out)}
    assert rows["hparams.width"] == (64, 128) and rows["test/accuracy"] == (0.9, 0.95)
    assert rows["tags.idea"] == (None, "wider")
    assert not {"hparams.optimizer", "model.width", "seed"} & set(rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["experiment=mnist"], "did you mean experiment_name?"),
        (["width=3"], "did you mean hparams.width?"),
        (["sort=-test/acuracy"], "did you mean test/accuracy?"),
        (["mnist"], "mnist: write key=value"),
        (["format=xml"], "format: there is no xml; there is table, csv, json"),
        (["diff", "a"], "name two runs"),
        (["diff", "a", "zz"], "zz is not a run folder"),
        (["test/accuracy>high"], "write a number"),
    ],
)
def test_a_wrong_word_gets_one_line(root: Path, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runs.main([f"outputs={root}", *words])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_listing_loads_neither_torch_nor_a_tracker(root: Path) -> None:
    heavy = "{'torch', 'mlflow', 'hydra', 'numpy', 'matplotlib'}"
    code = f"import sys, runs; runs.main(['outputs={root}']); sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", check=True, capture_output=True)


@pytest.mark.parametrize(
    "note", ["why I ran this", "it's wider, isn't it?", 'a "b" [c, {d}]', r"C:\new \" \\", "1", "日本語", ""]
)
def test_a_note_is_kept_as_it_wquote_note(note: str) -> None:
    words = quote_note(quote_note(["hparams.width=3", f"note={note}"]))
    width, kept = OverridesParser.create().parse_overrides(words)
    assert kept.value() == note and not kept.is_sweep_override() and width.value() == 3


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_strangers_text_gives_the_terminal_no_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    write_run(tmp_path, "a/1", note="\x1b[2Jgone \x9b31m 日本", tags={"x\x07": 1})
    (tmp_path / "no run\x1b").mkdir()
    (tmp_path / "no run\x1b" / "file").touch()
    runs.main([f"outputs={tmp_path}", "columns=run,note,tags.x\x07", f"format={form}"])
    said = capsys.readouterr()
    assert "gone" in said.out and "日本" in said.out and "left out" in said.err
    assert all(character.isprintable() or character == "\n" for character in said.out + said.err)

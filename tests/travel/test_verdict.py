"""What src/repeat.py says of two run folders: where they part, and what they were made of differently."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from workbench.repeat.verdict import judge

ROWS = """time,axis,epoch,step,name,value
1,step,0,3,train/loss,0.5
2,epoch,0,4,val/loss,nan
3,epoch,1,8,val/loss,0.25
"""
ENVIRONMENT = {"seed": 0, "threads": 2, "python": "3.11.7", "processor": "one", "cpus": 2, "gpus": []}


def leave(folder: Path, rows: str = ROWS, weights: bytes = b"w", **planted: Any) -> Path:
    """Write what the verdict reads of a run."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.csv").write_text(rows)
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT | planted.get("environment", {})))
    (folder / "data.json").write_text(json.dumps({"train": {"sha256": planted.get("data", "a")}}))
    (folder / "lock.txt").write_text(f"numpy=={planted.get('numpy', '2.0')}\ntorch==2.13.0\n")
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("src/a.py", planted.get("code", "a = 1"))
    with zipfile.ZipFile(folder / "checkpoints/best.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", folder.name)
        archive.writestr("archive/data/0", weights)
    return folder


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return leave(tmp_path / "original")


def test_the_same(original: Path, tmp_path: Path) -> None:
    later = ROWS.replace("\n1,", "\n7,") + "9,epoch,1,8,test/milliseconds_per_image,3.0\n"
    verdict = judge(original, leave(tmp_path / "again", later))
    assert verdict.is_same and str(verdict) == "the same, bit for bit"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ROWS.replace("0.5", "0.50000001"),
            "train/loss in epoch 0 is the first to differ, by 1e-08",
        ),
        (ROWS.replace("nan", "1.0"), "val/loss in epoch 0 is the first to differ"),
        (ROWS.replace("3,epoch,1,8,val/loss,0.25\n", ""), "val/loss in epoch 1 is in one of them only"),
    ],
)
def test_the_first_metric_that_differs(original: Path, tmp_path: Path, rows: str, said: str) -> None:
    verdict = judge(original, leave(tmp_path / "again", rows, b"other"))
    assert not verdict.is_same and f"not the same: {said}" in str(verdict)
    assert str(verdict).endswith("nothing of what they were made of differs")
    assert verdict.as_json()["first_difference"]["metric"] in said


def test_damaged_files_are_different_ones(original: Path, tmp_path: Path) -> None:
    again = leave(tmp_path / "again", ROWS + "4,epoch,1,8,val/lo")
    assert judge(original, again).is_same
    (again / "checkpoints/best.ckpt").write_bytes(b"no zip")
    assert judge(original, again).weights_differ


def test_words_beside_the_configuration_and_starts_are_named(original: Path, tmp_path: Path) -> None:
    words = ["repeat=x", "loggers=[]", "hparams.learning_rate=0.1", "seed=0"]
    assert judge(original, leave(tmp_path / "a"), words).differences == {"words": "hparams.learning_rate=0.1"}
    for number in ("1", "2"):
        (original / "starts" / number).mkdir(parents=True)
    assert list(judge(original, leave(tmp_path / "b")).differences) == ["starts"]


def test_weights_alone(original: Path, tmp_path: Path) -> None:
    verdict = judge(original, leave(tmp_path / "again", weights=b"v"))
    assert not verdict.is_same and "every metric is the same, the weights differ" in str(verdict)


PLANTED = {
    "code": ({"code": "a = 2"}, "src/a.py"),
    "packages": ({"numpy": "2.1"}, "numpy 2.0 and 2.1"),
    "data": ({"data": "b"}, "train"),
    "seed": ({"environment": {"seed": 4}}, "0 and 4"),
    "threads": ({"environment": {"threads": 1}}, "2 and 1"),
    "processor": ({"environment": {"processor": "another"}}, "one and another"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_they_were_made_of(original: Path, tmp_path: Path, what: str) -> None:
    planted, said = PLANTED[what]
    verdict = judge(original, leave(tmp_path / "again", **planted))
    assert list(verdict.differences) == [what] and said in verdict.differences[what]
    assert verdict.is_same and f"(though {what}: " in str(verdict)

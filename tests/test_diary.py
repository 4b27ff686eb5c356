"""A page of the diary: the day's runs are written anew each time, what a person wrote stays."""

import json
from datetime import date, datetime
from pathlib import Path

import pytest
from test_runs import write_run

import diary
from workbench.common.errors import ConfigError, DataError
from workbench.history.diary import BEGIN, END

DAY = date(2026, 3, 4)


def noon(minute: int, day: int = DAY.day) -> float:
    return datetime(DAY.year, DAY.month, day, 12, minute).timestamp()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with a note and a picture, two trials of a sweep, and a run of another day."""
    root = tmp_path / "outputs"
    run = write_run(
        root, "mnist/a b", started=noon(1), note="is wider better?\nI think so", tags={"idea": "x"}
    )
    (run / "environment.json").write_text(json.dumps({"command": "python src/train.py hparams.width=64"}))
    (run / "figures").mkdir()
    (run / "figures/learning_curves.png").write_bytes(b"\x89PNG")
    for trial in range(2):
        write_run(root, f"mnist/sweep/{trial}", started=noon(2 + trial), hparams={"width": 8 + trial})
    write_run(root, "mnist/yesterday", started=noon(0, DAY.day - 1))
    return tmp_path


def write(folder: Path) -> str:
    diary.main([f"outputs={folder / 'outputs'}", f"diary={folder / 'diary'}", f"date={DAY}"])
    return (folder / f"diary/{DAY}.md").read_text()


def test_a_page_tells_of_the_runs_of_its_day(folder: Path) -> None:
    page = write(folder)
    assert page.startswith("# Wednesday, 4 March 2026\n")
    assert "### 12:01 mnist: finished" in page and "> is wider better?\n> I think so" in page
    assert "python src/train.py hparams.width=64" in page and "tags.idea=x" in page
    assert "### 12:02 mnist: 2 trials of a sweep" in page and "| hparams.width |" in page
    assert "yesterday" not in page
    diary.main([f"outputs={folder / 'outputs/mnist/sweep'}", f"diary={folder / 'other'}", f"date={DAY}"])
    assert "### 12:02 mnist: 2 trials of a sweep" in (folder / f"other/{DAY}.md").read_text()
    picture = "../outputs/mnist/a%20b/figures/learning_curves.png"
    assert f"![learning curves]({picture})" in page
    assert (folder / "diary" / picture.replace("%20", " ")).resolve().is_file()


def test_what_a_person_wrote_stays(folder: Path) -> None:
    page = write(folder)
    (path,) = (folder / "diary").iterdir()
    path.write_text(page.replace("# Wed", "Slept badly.\n# Wed") + "\nMore width tomorrow.\n")
    write_run(folder / "outputs", "mnist/later", started=noon(30))
    again = write(folder)
    assert again.startswith("Slept badly.\n# Wed") and again.endswith("\nMore width tomorrow.\n")
    assert "mnist/later" in again and again.count(BEGIN) == again.count(END) == 1
    assert write(folder) == again


def test_a_page_begun_by_hand_gets_the_runs_at_its_end(folder: Path) -> None:
    (folder / "diary").mkdir()
    (folder / f"diary/{DAY}.md").write_text("Plans: go wider")
    assert write(folder).startswith(f"Plans: go wider\n\n{BEGIN}\n")


@pytest.mark.parametrize("damage", [BEGIN, END])
def test_damaged_marks_are_told_and_nothing_is_changed(folder: Path, damage: str) -> None:
    damaged = write(folder).replace(damage, "")
    (path,) = (folder / "diary").iterdir()
    path.write_text(damaged)
    with pytest.raises(DataError, match="are not one pair"):
        write(folder)
    assert path.read_text() == damaged and [path] == list((folder / "diary").iterdir())


def test_a_day_without_runs_leaves_no_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diary.main([f"outputs={folder / 'outputs'}", f"diary={folder / 'diary'}", "date=2020-01-01"])
    assert "no run was started on 2020-01-01" in capsys.readouterr().err
    assert not (folder / "diary").exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [("dat=2026-01-01", "did you mean date?"), ("date=today", "is no date"), ("x", "keys are date")],
)
def test_a_wrong_word_gets_one_line(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        diary.main([word])
    assert said in str(caught.value) and "\n" not in str(caught.value)

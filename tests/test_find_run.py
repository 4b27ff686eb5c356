"""One way to name a run, for every command."""

import json
from pathlib import Path

import pytest

from workbench.common.errors import ConfigError
from workbench.run.folder import find_folder, point_latest_at, run_folders


def make_run(folder: Path, started: float, mlflow: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "summary.json").write_text(json.dumps({"started": started}))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    (folder / "trackers.json").write_text(json.dumps({"trackers": {"mlflow": {"id": mlflow}}}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    outputs = tmp_path / "outputs"
    make_run(outputs / "mlruns/1/abc/artifacts", 9.0)  # the copy that MLflow keeps has no lock
    (outputs / "first").mkdir()
    (outputs / "first" / "latest").symlink_to("2026-11-21_10-00-00_5e8b")
    return [
        make_run(outputs / "first/2026-11-21_10-00-00_5e8b", 1.0, mlflow="abc"),
        make_run(outputs / "first/2026-11-22_10-00-00_6e8b", 3.0),
        make_run(outputs / "sweep/0123456789/0", 2.0),
    ]


def test_all_runs_are_found_and_no_copy(runs: list[Path], tmp_path: Path) -> None:
    assert list(run_folders(tmp_path / "outputs")) == runs


@pytest.mark.parametrize(
    ("name", "number"),
    [("5e8b", 0), ("10-00-00_6e8b", 1), ("0123456789/0", 2), ("latest", 1), ("mlflow:abc", 0)],
)
def test_a_name_finds_one_run(runs: list[Path], tmp_path: Path, name: str, number: int) -> None:
    assert find_folder(name, "resume", [tmp_path / "outputs"]) == runs[number].resolve()


def test_a_link_and_a_folder_are_names_too(runs: list[Path], tmp_path: Path) -> None:
    for name in (str(runs[0]), str(tmp_path / "outputs/first/latest")):
        assert find_folder(name, "resume", []) == runs[0].resolve()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("e8b", "resume: 2 runs are called e8b: 2026-11-21_10-00-00_5e8b, 2026-11-22_10-00-00_6e8b"),
        ("zz", "resume: zz is not a run folder"),
        ("mlflow:zz", "resume: mlflow:zz is not a run folder"),
    ],
)
def test_another_name_is_one_line(runs: list[Path], tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_folder(name, "resume", [tmp_path / "outputs"])
    assert str(caught.value).startswith(said)


def test_latest_is_the_newest_that_has_something_to_load(runs: list[Path], tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    broken = make_run(outputs / "first/2026-11-23_10-00-00_7e8b", 9.0)
    (broken / "checkpoints/last.ckpt").unlink()
    (outputs / "first/latest").unlink()  # of version 0.1
    for name in ("latest", str(outputs / "first/latest")):
        assert find_folder(name, "resume", [outputs]) == runs[1].resolve()
    with pytest.raises(ConfigError, match="is not a run folder"):
        find_folder(str(outputs / "second/latest"), "resume", [outputs])


def test_the_link_moves_beside_the_outputs_and_never_back(runs: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "latest/first"
    pointed_at = []
    for run in (runs[0], runs[1], runs[0], runs[2]):  # of which the last is a trial
        point_latest_at(run)
        pointed_at.append(link.resolve())
    assert pointed_at == [runs[0], runs[1], runs[1], runs[1]]
    assert not (tmp_path / "outputs/first/latest").is_symlink()
    assert not link.readlink().is_absolute()  # the workspace may be moved
    assert [path.name for path in (tmp_path / "latest").iterdir()] == ["first"]

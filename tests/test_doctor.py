"""doctor.py says what is wrong with a machine and with data, and changes nothing."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from in_process import make_anomaly_folder, make_folder

import doctor
from workbench.common import machine


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a machine on which nothing is wrong."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "examine_machine", lambda: [machine.Finding("ok", "torch", "works")])
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert doctor.doctor(words) == code
    return capsys.readouterr().out


def test_a_folder_of_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder(place / "images")
    shutil.copy(root / "dark/0.png", root / "dark/again.png")
    said = told(capsys, 0, f"data.root={root}", "data.edge=drop")
    assert "data=folder" in said and "20x24 (" in said and "grey" in said
    assert "dark/0.png = dark/again.png" in said and "of the worst image" in said
    counts = [line.split() for line in said.splitlines() if "examples:" in line]
    assert sum(int(line[2]) for line in counts) == 17
    assert {line[1] for line in counts} == {"train", "val", "test"}
    (root / "light/broken.png").write_bytes(b"no image")
    assert "light/broken.png: it is no image" in told(capsys, 1, f"data.root={root}")


def test_an_anomaly_folder_and_features_are_recognised(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_anomaly_folder(place / "photographs")
    assert "data=anomaly" in told(capsys, 0, f"data.root={root}", "hparams.image_size=[16,24]")
    (place / "bags").mkdir()
    rows = ["path,label"]
    for number in range(20):
        np.save(place / "bags" / f"{number}.npy", np.full((3 + number, 4), number, np.float32))
        rows.append(f"{number}.npy,{'ab'[number % 2]}")
    (place / "bags/bags.csv").write_text("\n".join(rows))
    said = told(capsys, 0, f"data.root={place / 'bags'}")
    assert "data=features" in said and "3 to 22 elements" in said and "4 features each" in said
    np.save(place / "bags/3.npy", np.full((3, 4), np.nan, np.float32))
    assert "3.npy" in told(capsys, 1, f"data.root={place / 'bags'}")


@pytest.mark.parametrize("word", ["data.rooot=x", "seed=1", "data.patch_size=wide", "data=nothing"])
def test_a_wrong_word_is_one_line(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["doctor.py", word])
    assert doctor.main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def found(path: Path) -> dict[str, machine.Finding]:
    return {finding.what: finding for finding in machine.examine_machine(path)}


def test_a_machine_is_examined(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (place / ".env").write_text("TZ=UTC\nthis is no line\n")
        monkeypatch.setenv("MLFLOW_PORT", str(port))
        monkeypatch.setenv("JUPYTER_PORT", "many")
        monkeypatch.setenv("DATASET", f"{place}/nowhere")
        monkeypatch.setenv("TZ", "UTC")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        said = found(place / ".env")
    assert said["torch"].mark == said["cache"].mark == said["MLFLOW_TRACKING_URI"].mark == "ok"
    assert said[".env"] == ("wrong", ".env", "not NAME=value in line 2")
    assert said["DATASET"].mark == said["JUPYTER_PORT"].mark == "wrong"
    assert said["MLFLOW_PORT"].mark == "note" and str(port) in said["MLFLOW_PORT"].said
    assert found(place / ".env")["MLFLOW_TRACKING_URI"].mark == "wrong"  # the server is gone


def test_an_engine_that_only_seems_to_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = place / "bin" / "docker"
    docker.parent.mkdir()
    monkeypatch.setenv("PATH", str(docker.parent), prepend=os.pathsep)
    for answer, said in {
        '"ServerErrors": ["no"]': "does not answer",
        '"ServerVersion": "27.1"': "27.1",
    }.items():
        docker.write_text(f"#!/bin/sh\necho '{{{answer}}}'\n")
        docker.chmod(0o755)
        assert said in machine._docker().said

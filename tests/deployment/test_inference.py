"""Folders of images to answers: complete, honest about what could not be read, and finished after a stop."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from stand_in_models import write_detector

from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from patchsets.model.attention_pool import AttentionPool
from patchsets.task.deployed_classifier import describe_classifier
from workbench.common.errors import ConfigError, UserError
from workbench.models.find import find_images, find_model
from workbench.models.heat_maps import heat_map_name
from workbench.models.infer import Words, predict
from workbench.portable.model import POOLINGS, Model
from workbench.train.export import write_model


def answers(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def words(model: Path, images: Path | str, output: Path, **more: object) -> Words:
    return Words(str(model), str(images), str(output), **more)  # type: ignore[arg-type]


def test_a_run_folder_judges_files_as_it_did_in_training(
    run_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(words(run_folder, images, tmp_path / "out", batch_size=3)) == 0
    found = {Path(str(answer["path"])).name: answer for answer in answers(tmp_path / "out")}
    with (run_folder / "predictions.csv").open() as file:
        said = list(csv.DictReader(file))[: len(found)]
    for row in said:
        answer = found[f"{int(row['index']):02}.png"]
        assert answer["class"] == row["predicted"]
        assert float(row[f"probability of {row['predicted']}"]) == pytest.approx(
            answer["probability"], abs=1e-5
        )
        assert answer["model"] == run_folder.name and answer["ms"] > 0
    with (tmp_path / "out/predictions.csv").open() as file:
        assert [row["path"] for row in csv.DictReader(file)] == [
            row["path"] for row in answers(tmp_path / "out")
        ]
    assert f"20 images by {run_folder.name}" in capsys.readouterr().out


def test_an_unreadable_image_is_named_and_the_rest_goes_on(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detector(tmp_path)
    broken = images / "half 0" / "00.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:60])
    asked = words(tmp_path / "model/model.pt2", images, tmp_path / "out")
    assert predict(asked) == 1
    assert f"1 could not be read:\n  {broken}: " in capsys.readouterr().out
    assert sum("error" in answer for answer in answers(tmp_path / "out")) == 1
    broken.write_bytes(whole)
    assert predict(asked) == 0
    assert "19 of them before" in capsys.readouterr().out
    assert len(answers(tmp_path / "out")) == 20


def test_an_interrupted_command_does_the_rest_when_it_is_given_again(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_detector(tmp_path)
    asked = words(tmp_path / "model/model.pt2", images, tmp_path / "out", batch_size=4)
    judged: list[int] = []
    judge = Model.__call__

    def counted(self: Model, images_BHWC: np.ndarray) -> dict[str, np.ndarray]:
        judged.append(len(images_BHWC))
        if sum(judged) > 8:
            raise KeyboardInterrupt
        return judge(self, images_BHWC)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Model, "__call__", counted)
        predict(asked)
    lines = tmp_path / "out/predictions.jsonl"
    assert len(answers(tmp_path / "out")) == 8
    assert not (tmp_path / "out/predictions.csv").exists()
    with lines.open("a") as file:
        file.write('{"path": "cut o')  # as a kill in the middle of a line leaves it
    assert predict(asked) == 0
    again = [{**answer, "ms": 0} for answer in answers(tmp_path / "out")]
    assert predict(words(asked.model, images, tmp_path / "whole")) == 0
    assert again == [{**answer, "ms": 0} for answer in answers(tmp_path / "whole")]


def test_a_changed_image_is_judged_again(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    write_detector(tmp_path)
    asked = words(tmp_path / "model/model.pt2", images, tmp_path / "out")
    predict(asked)
    changed = images / "half 1" / "01.png"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(changed)
    later = (tmp_path / "out/predictions.jsonl").stat().st_mtime + 10
    os.utime(changed, (later, later))
    predict(asked)
    assert {str(a["path"]): a["score"] for a in answers(tmp_path / "out")}[str(changed)] == 1.0


def test_answers_of_another_threshold_are_not_mixed(tmp_path: Path, images: Path) -> None:
    write_detector(tmp_path)
    predict(words(tmp_path / "model/model.pt2", images, tmp_path / "out"))
    with pytest.raises(ConfigError, match=r"holds answers of another threshold"):
        predict(words(tmp_path / "model/model.pt2", images, tmp_path / "out", threshold=0.1))


def test_threshold_pooling_and_heat_maps(tmp_path: Path) -> None:
    write_detector(tmp_path)
    model = tmp_path / "model/model.pt2"
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    spotted = np.full((40, 20, 3), 230, np.uint8)
    Image.fromarray(spotted).save(photographs / "good.jpg", quality=100)
    spotted[10:14, 5:9] = 0
    Image.fromarray(spotted).save(photographs / "spot.png")

    predict(words(model, photographs, tmp_path / "mean", heat_maps=True))
    good, spot = answers(tmp_path / "mean")
    assert (good["is_anomaly"], spot["is_anomaly"], spot["threshold"]) == (False, False, 0.3)
    assert good["p_value"] == pytest.approx((1 + 7) / 10)
    heat = np.asarray(Image.open(tmp_path / "mean/heat_maps/spot.png.png")).astype(int)
    assert heat.shape == (16, 16, 3)
    coloured = abs(heat - heat.mean(axis=2, keepdims=True)).max(axis=2) > 40
    assert coloured.any() and not coloured[:3].any()

    predict(words(model, photographs, tmp_path / "low", threshold=0.05))
    assert [answer["is_anomaly"] for answer in answers(tmp_path / "low")] == [True, True]
    predict(words(model, photographs, tmp_path / "max", pooling="max"))
    good, spot = answers(tmp_path / "max")
    assert (good["is_anomaly"], spot["is_anomaly"], spot["threshold"]) == (False, True, 0.5)
    assert spot["p_value"] == 1 / 4
    with pytest.raises(ConfigError, match="knows no threshold for the pooling top1, only for max, mean"):
        predict(words(model, photographs, tmp_path / "top1", pooling="top1"))


def test_poolings_are_those_of_training() -> None:
    import torch

    from patchsets.anomaly.scoring import pool

    map_BHW = np.random.default_rng(0).random((3, 20, 30), dtype=np.float32)
    for name, pooled in POOLINGS.items():
        expected = pool(torch.from_numpy(map_BHW), name).numpy()
        np.testing.assert_allclose(pooled(map_BHW.reshape(3, -1)), expected, rtol=1e-6)


def test_a_folder_a_pattern_and_lists(images: Path) -> None:
    everything = find_images(str(images))
    assert len(everything) == 20
    assert find_images(str(images / "half 0" / "0*.png")) == everything[:5]
    (images / "some.txt").write_text("half 0/00.png\n\nhalf 1/01.png\nhalf 0/00.png\n")
    assert find_images(str(images / "some.txt")) == [everything[0], everything[10]]
    (images / "some.csv").write_text("label,path\n0,half 0/00.png\n1,missing.png\n")
    assert find_images(str(images / "some.csv")) == [everything[0], images / "missing.png"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"input": None}, "input: missing"),
        ({"input": "nowhere"}, "input: there is no nowhere"),
        ({"model": "nowhere"}, "model: nowhere is not a run folder"),
        ({"model": "nowhere.onnx"}, "model: there is no file nowhere.onnx"),
        ({"model": "models:/kinoko"}, "neither models:/<name>@<alias> nor"),
        ({"pooling": "median"}, "pooling: there is no median"),
        ({"batch_size": 0}, "batch_size: 0 is not"),
        ({"threshold": 0.5}, "threshold: this model finds no anomalies"),
        ({"heat_maps": True}, "heat_maps: this model finds no anomalies"),
    ],
)
def test_a_wrong_word_is_answered_before_anything_is_written(
    wrong: dict[str, object],
    says: str,
    run_folder: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("workbench.models.find.connect", lambda uri: None)
    asked = {"model": str(run_folder), "input": str(images), "output": str(tmp_path / "out"), **wrong}
    with pytest.raises(ConfigError, match=says):
        predict(Words(**asked))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"PK damaged")
    with pytest.raises(UserError, match=r"model: .*model.pt2 cannot be read .*is it damaged"):
        find_model(str(tmp_path / "model.pt2"))


def test_heat_maps_lie_as_their_images_do() -> None:
    assert heat_map_name("photos/a/1.jpg", "photos") == Path("a/1.jpg.png")
    assert heat_map_name("/data/1.jpg", "list.txt") == Path("data/1.jpg.png")
    assert heat_map_name("../x/1.jpg", "../x/*.jpg") == Path("x/1.jpg.png")


class OneImage(ImageSets):
    """One black image of 8x8 pixels."""

    classes = ["dark", "light"]  # noqa: RUF012

    def read(self) -> dict[str, LabelledImages]:
        return {"train": labelled(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1))}


def test_heat_maps_show_what_a_classifier_looks_at(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = OneImage(batch_size=1, seed=0, patch_size=4, stride=4, coordinates=False)
    data.setup()
    network = AttentionPool(48, 2, width=4, depth=1).eval()
    model = write_model(*describe_classifier(network, data), tmp_path)
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, 4:] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in/a.png")
    predict(words(model / "model.pt2", tmp_path / "in", tmp_path / "out", heat_maps=True))
    with h5py.File(tmp_path / "out/heat_maps/a.png.h5") as file:
        weights, coords, size = file["weights"][:], file["coords"][:], file.attrs["patch_size"]
    batch = data.make_batch(labelled(picture[None], np.zeros(1)), training=False)
    with torch.no_grad():
        np.testing.assert_allclose(weights, network.attention(batch.sets), rtol=1e-5)
    assert coords.tolist() == [[0, 0], [4, 0], [0, 4], [4, 4]] and size == 4
    (answer,) = answers(tmp_path / "out")
    assert answer["highest_weight"] == pytest.approx(4 * weights.max())
    heat = np.asarray(Image.open(tmp_path / "out/heat_maps/a.png.png"))
    assert len(np.unique(heat[:4, 4:].reshape(-1, 3), axis=0)) == 1 and not np.array_equal(heat, picture)

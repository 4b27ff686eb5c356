"""Images that are not square: every detector learns from them, judges them and is used on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import DETECTORS, start
from PIL import Image
from whole_command import the_run

from patchsets.anomaly.synthetic_defects import draw_areas
from patchsets.data.anomaly_demo import AnomalyDemo
from workbench.common.errors import ConfigError
from workbench.models.infer import Words, predict
from workbench.portable.model import load_model
from workbench.portable.pixels import read_image

FEW = [f"+data.{name}=4" for name in ("train", "val", "per_kind")]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the cache and the runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("task", DETECTORS.values())
def test_every_detector_takes_them(task: str, place: Path) -> None:
    words = [f"task={task}", "hparams.image_size=[32,48]", *FEW, "debug=True", f"outputs={place}"]
    assert "test/loss" in start(*words)


def test_images_masks_and_the_exported_model_have_their_size(place: Path) -> None:
    words = ["task=autoencoder", "hparams.image_size=[24,40]", "hparams.enc_channels=[4,8]", *FEW]
    start(
        *words, "hparams.max_epochs=1", "loggers=[]", "experiment_name=wide", f"outputs={place / 'outputs'}"
    )
    folder = the_run(place / "outputs", "wide")
    data = AnomalyDemo("part", 4, 0, [24, 40], train=4, val=4, per_kind=4)
    data.setup()
    assert data.image_shape == (1, 24, 40) and data.image("test", 0).shape == (24, 40)
    mask = data.mask("test", len(data.splits["test"].label) - 1)
    assert mask is not None and mask.shape == (24, 40) and mask.any()
    model = load_model(folder / "model")
    assert model.preprocessing["size"] == [24, 40]
    Image.fromarray(np.full((90, 70, 3), 128, np.uint8)).save(place / "one.png")
    answers = model(np.stack([read_image(place / "one.png", model.preprocessing)]))
    assert answers["map"].shape == (1, 24, 40)
    assert predict(Words(model=str(folder), input=str(place / "one.png"), output=str(place / "judged"))) == 0


@pytest.mark.parametrize("size", ["[32]", "[32,0]", "[32,32,3]", "0", "wide"])
def test_a_size_that_is_none_is_one_line(size: str, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"hparams.image_size: .* is not (a number above 0, or|of type)"):
        start("task=autoencoder", f"hparams.image_size={size}", f"outputs={place / 'outputs'}")
    assert not (place / "outputs").exists()


@pytest.mark.parametrize("task", ["autoencoder", "defect_segmentation"])
def test_the_nearest_size_that_can_be_halved_is_named(task: str, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"30 ?x ?50 .* such as \[(32|24|28),(48|52)\]"):
        start(f"task={task}", "hparams.image_size=[30,50]", *FEW, "debug=True", f"outputs={place}")


def test_painted_defects_are_as_round_as_on_a_square() -> None:
    """Of many areas the mean height, in pixels, is the mean width, however wide the image is."""
    torch.manual_seed(0)
    areas = draw_areas(600, torch.Size((32, 128)), torch.device("cpu")) > 0.5
    inside = areas[:, 8:-8, 16:-16].any(2).any(1)
    height, width = (areas[inside].any(dim).sum(1).float().mean().item() for dim in (2, 1))
    assert width < 2 * height

"""Whole images: what a network is given, a task that stands in for another, preprocessing that is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import stand_in_mnist, start, words_for
from whole_command import ROOT, the_run

from patchsets.data import images as preprocessing
from patchsets.data.batch import ImageBatch
from patchsets.data.digits import Digits, read_digits
from patchsets.data.folder import Folder
from patchsets.task.mnist_deskewed import deskew
from workbench.common.errors import ConfigError

SMALL = ["hparams.width=4", "hparams.depth=2", "hparams.max_epochs=1", "loggers=[]", "save_model=False"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the cache and the runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def whole_digits() -> Digits:
    data = Digits(50, 0, patch_size=None)
    data.setup()
    return data


def test_a_network_is_given_whole_images_between_0_and_1() -> None:
    data = whole_digits()
    batch = data.make_batch(next(iter(data.test_dataloader())), training=False)
    assert isinstance(batch, ImageBatch) and data.num_features == 1
    assert batch.input.shape == (50, 1, 8, 8)
    first = data.image("test", int(batch.index[0]))
    assert np.array_equal((batch.input[0, 0] * 255).round().numpy(), first)


def test_images_of_different_sizes_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words_for("data=folder", place, monkeypatch)
    with pytest.raises(ConfigError, match=r"patch_size: null .* 20 to 27 pixels"):
        Folder(8, 0, str(place / "images"), patch_size=None).setup()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=cnn"], "data.patch_size=null leaves whole"),
        (["model=attention_pool", "data.patch_size=null"], "data.patch_size=null makes none: give one"),
        (["task=mnist_a", "model=deep_sets"], "data.patch_size=null makes none: give one"),
        (["task=regression", "data=bags", "model=cnn"], "whole images, and these data have none"),
        (["data=bags", "model=patch_cnn"], "takes patches of images, and these data have none"),
        (["model=patch_cnn", "data.patch_size=null"], "data.patch_size=null makes none: give one"),
        (["data=anomaly_demo", "model=deep_sets"], "these data are whole images, or take model=cnn"),
        (["model=vae", "data.patch_size=null"], "VariationalAutoencoder finds anomalies"),
        (["data=folder", "data.root=null"], "data.root: say which folder"),
        (["task=vae", "data=anomaly", "data.root=nowhere"], "data.root: there is no folder nowhere"),
        (["data=folder", f"data.root={ROOT / 'docs'}"], "docs has 0 class folders"),
        (["task=vae", "data=anomaly", f"data.root={ROOT / 'docs'}"], "docs holds no train/good"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_made(
    place: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        start(*words, f"outputs={place / 'outputs'}")
    assert not (place / "outputs").exists()


def test_digits_stand_in_for_mnist_where_they_are_named(place: Path) -> None:
    metrics = start(
        "task=mnist_a",
        "data=digits",
        *SMALL,
        "hparams.width=16",
        "hparams.batch_size=16",
        f"outputs={place / 'outputs'}",
    )
    assert metrics["test/accuracy"] > 0.11  # a tenth would be chance
    run = the_run(place / "outputs", "mnist")
    assert {path.name for path in (run / "figures").iterdir()} == {
        "learning_curves.png",
        "confusion_matrix.png",
        "confident_mistakes.png",
    }
    assert len((run / "predictions.csv").read_text().splitlines()) == 1 + round(0.2 * len(read_digits()[1]))


def test_mnist_b_differs_from_mnist_a_in_hparams_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        a, b = (OmegaConf.to_container(compose("config", [f"task=mnist_{name}"])) for name in "ab")
    assert isinstance(a, dict) and isinstance(b, dict)
    assert {key for key in a if a[key] != b[key]} == {"hparams"}


def test_another_preprocessing_is_done_once_and_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET", str(stand_in_mnist(place / "mnist", monkeypatch)))
    words = ["task=mnist_deskewed", *SMALL, "debug=True", f"outputs={place / 'outputs'}"]
    start(*words)
    kept = sorted((place / "cache/patchsets/preprocessing/deskewed").glob("*/parameters.json"))
    assert len(kept) == 3  # splits
    assert json.loads(kept[0].read_text())["preprocessing"] == "deskewed"
    monkeypatch.setattr(preprocessing, "_make", lambda *_: pytest.fail("it was made again"))
    start(*words)


def test_preprocessed_images_take_the_place_of_the_others() -> None:
    data, other = whole_digits(), whole_digits()
    data.preprocess("dark", 1, lambda images: 1 - images)
    assert np.array_equal(data.image("val", 3), 255 - other.image("val", 3))
    assert data.fingerprint() != other.fingerprint()
    brighter = whole_digits()
    brighter.preprocess("dark", 2, lambda images: images / 2)  # a new version is made anew
    assert brighter.image("val", 3).max() < 130


def test_a_slanted_line_is_set_upright() -> None:
    row = torch.arange(28)
    images = torch.zeros(2, 1, 28, 28)
    for y in range(4, 24):
        images[0, 0, y, 14 - round((y - 14) / 2)] = 1  # leans to the right
        images[1, 0, y, 14] = 1  # stands already
    upright = deskew(images)
    columns = (upright.sum(dim=2) * row).sum(dim=2) / upright.sum(dim=(2, 3))
    spread = (upright.sum(dim=2) * (row - columns[..., None]) ** 2).sum(dim=2) / upright.sum(dim=(2, 3))
    assert spread[0] < 1 and spread[1] < 0.1
    assert torch.isfinite(deskew(torch.zeros(1, 1, 28, 28))).all()

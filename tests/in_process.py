"""Runs of train.py's work in the process of a test, and stand-ins for what a preset cannot run without."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from PIL import Image
from whole_command import ROOT

from patchsets.data import mnist
from workbench.config import composition
from workbench.train.experiment import run

DETECTORS = {  # networks that find anomalies, and the task that trains each
    "autoencoder": "autoencoder", "vae": "vae", "gan": "gan", "patch_memory": "patch_memory",
    "unet": "defect_segmentation",
}  # fmt: skip


def start(*words: str) -> dict[str, float]:
    """Do what train.py does, in this process."""
    composition.register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose("config", overrides=list(words), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return run(config)


def words_for(preset: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a preset what it cannot run without."""
    if preset == "data=max_regression":
        return [preset, "task=regression"]
    if preset == "task=regression":
        return [preset, "data=max_regression"]
    if preset == "data=folder":
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return [preset, f"data.root={make_folder(folder / 'images')}"]
    if preset == "data=features":
        return [preset, f"data.root={make_feature_bags(folder / 'bags')}"]
    if preset == "task=multilabel":
        return [preset, *words_for("data=features", folder, monkeypatch), "data.labels=several"]
    if preset == "data=mil":
        return [preset, f"data.root={make_mil_file(folder / 'mil.npz')}", "data.val_fraction=0.3"]
    group, _, option = preset.partition("=")
    if (group == "model" and option in DETECTORS) or (group == "task" and option in DETECTORS.values()):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        few = [f"+data.{name}=4" for name in ("train", "val", "per_kind")]
        return [f"task={DETECTORS.get(option, option)}", preset, "hparams.image_size=32", *few]
    if preset.startswith("data=anomaly"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        own = [f"+data.{name}=4" for name in ("train", "val", "per_kind")]
        if preset == "data=anomaly":
            own = [f"data.root={make_anomaly_folder(folder / 'images')}"]
            shutil.copytree(folder / "images/test", folder / "images/val")  # a classifier needs both classes
        return [preset, "model=cnn", "hparams.image_size=16", *own]
    if preset == "model=linear":
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        small = "{_target_: patchsets.model.cnn.Stage, in_channels: 3, out_channels: 8}"
        return [preset, "data.patch_size=null", f"model.encoder={small}"]
    if preset == "model=cnn":
        return [preset, "data.patch_size=null"]
    if preset == "model=lenet_attention_pool":
        few = [f"+data.{split}_bags=8" for split in ("val", "test")]
        return [preset, *words_for("data=mnist_bags", folder, monkeypatch), "data.train_bags=20", *few]
    if preset.startswith("data=mnist") or preset.startswith("task=mnist"):
        monkeypatch.setenv("DATASET", str(stand_in_mnist(folder / "mnist", monkeypatch)))
    return [preset]


def make_folder(root: Path) -> Path:
    """Write a few noisy images of two classes."""
    random = np.random.default_rng(0)
    for name in ("dark", "light"):
        (root / name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(0, 120, (24, 20 + number), dtype=np.uint8) + 120 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def make_feature_bags(root: Path) -> Path:
    """Write a few bags of random features of two classes, and their table."""
    random = np.random.default_rng(0)
    root.mkdir(parents=True)
    for number in range(16):
        np.save(root / f"{number}.npy", random.normal(size=(3 + number % 4, 5)).astype(np.float32))
    lines = ["path,label", *(f"{number},{'ab'[number % 2]}" for number in range(16))]
    (root / "bags.csv").write_text("\n".join(lines))
    return root


def make_mil_file(path: Path) -> Path:
    """Write 20 bags of random vectors of two classes, whose folds are 2 in each of 2 repetitions."""
    random = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = np.arange(20) < 10
    test = np.array([[first, ~first], [~first, first]])
    values = random.normal(size=(60, 5)).astype(np.float32)
    np.savez(path, values=values, lengths=np.full(20, 3), label=np.arange(20) % 2, test=test)
    return path


def make_anomaly_folder(root: Path) -> Path:
    """Write a few noisy images in MVTec AD's layout, with a mask for each defect."""
    random = np.random.default_rng(0)
    for place, count in {"train/good": 10, "test/good": 4, "test/hole": 3}.items():
        (root / place).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(100, 150, (20, 24), dtype=np.uint8)
            if place == "test/hole":
                pixels[5:10, 5:10] = 0
            Image.fromarray(pixels).save(root / place / f"{number:03}.png")
    (root / "ground_truth/hole").mkdir(parents=True)
    mask = np.zeros((20, 24), np.uint8)
    mask[5:10, 5:10] = 255
    for number in range(3):
        Image.fromarray(mask).save(root / "ground_truth/hole" / f"{number:03}_mask.png")
    return root


def stand_in_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write random digits in MNIST's layout, and let the reader believe them."""
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (240, 28, 28), dtype=np.uint8),
        "y_train": np.arange(240, dtype=np.uint8) % 10,
        "x_test": random.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }
    folder.mkdir()
    np.savez(folder / "mnist.npz", **arrays)
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    return folder


def read_by(words: list[str], hparams: list[str]) -> list[str]:
    """Return the words and, of the hyper-parameters, those that a part of this run reads."""
    composition.register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        known = compose("config", overrides=words).hparams
    return [*words, *(word for word in hparams if word.partition("=")[0].removeprefix("hparams.") in known)]

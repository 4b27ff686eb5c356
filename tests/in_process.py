"""Runs of train.py's work in the process of a test, and stand-ins for what a preset cannot run without."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from PIL import Image
from whole_command import ROOT

from patchsets import schema
from patchsets.data import mnist
from patchsets.experiment import run


def start(*words: str) -> dict[str, float]:
    """Do what train.py does, in this process."""
    schema.register()
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
        return [preset, f"data.root={make_folder(folder / 'images')}"]
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

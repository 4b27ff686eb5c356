"""What the tests of deployment share: one trained run with its model."""

from pathlib import Path

import numpy as np
import pytest
from in_process import start
from PIL import Image
from whole_command import the_run

from patchsets.data.digits import Digits

SMALL = ["model=deep_sets", "hparams.max_epochs=1", "hparams.width=16", "hparams.depth=1", "loggers=[]"]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the digits."""
    outputs = tmp_path_factory.mktemp("deployed")
    start(*SMALL, f"outputs={outputs}", "experiment_name=digits")
    return the_run(outputs, "digits")


@pytest.fixture(scope="session")
def test_digits() -> np.ndarray:
    """The images the run was tested on `[N, 8, 8]`."""
    data = Digits(batch_size=64, seed=0)
    data.setup()
    return np.stack([data.image("test", row) for row in range(20)])


@pytest.fixture
def images(tmp_path: Path, test_digits: np.ndarray) -> Path:
    """A folder with some of them as PNG files, in two subfolders."""
    for row, digit in enumerate(test_digits):
        path = tmp_path / "images" / f"half {row % 2}" / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).save(path)
    return tmp_path / "images"

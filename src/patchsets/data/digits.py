"""1,797 real handwritten digits of 8x8 pixels that come with scikit-learn (UCI optical digits, 1998)."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from patchsets.data.splitting import Examples, Fold, Folds, Splitting, divide
from workbench.common.limits import AboveZero


class Digits(ImageSets):
    """Digits as sets of 3x3 patches; the split depends on `split_seed` alone, not on the training's seed."""

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        patch_size: int | None = 3,
        stride: int = 1,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        folds: Folds = None,
        fold: Fold = None,
        **sets: Any,
    ) -> None:
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        self.classes = [str(digit) for digit in range(10)]
        self.splitting = Splitting(val_fraction, test_fraction, split_seed, folds, fold, stratified=False)

    def read(self) -> dict[str, LabelledImages]:
        images, label = read_digits()
        names = [f"digit {row}" for row in range(len(label))]
        rows = divide(Examples(names, label, self.classes), self.splitting)
        return {split: labelled(images[part], label[part]) for split, part in rows.items()}


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images `[1797, 8, 8]` uint8 and their digits, without the second an import would take."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    table = np.loadtxt(
        Path(spec.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.int64
    )
    grey = (table[:, :64] * 255 / 16).round().astype(np.uint8)  # the scans have 17 grey levels
    return grey.reshape(-1, 8, 8), table[:, 64]

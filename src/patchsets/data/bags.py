"""Does a bag of digits contain a 9? After the MNIST-bags of Ilse et al. (2018).

The MNIST-bags of Ilse et al. (2018): does a bag of MNIST's digits contain a 9?
"""

import numpy as np
import torch

from patchsets.data.digits import read_digits
from patchsets.data.mnist import fetch_mnist, read_mnist
from patchsets.data.splitting import split_rows
from patchsets.data.vector_sets import LabelledSets, VectorSets
from workbench.common.limits import AboveZero

TARGET = 9


class Bags(VectorSets):
    """Bags of whole digits; half of them hold at least one 9. No digit is in bags of two splits."""

    element_shape = (8, 8)  # of a digit, whose pixels are the features

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        train_bags: int = 200,
        val_bags: int = 200,
        test_bags: int = 500,
        mean_size: float = 10,
        std_size: float = 2,
        split_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, seed, num_workers)
        self.classes = ["without a 9", "with a 9"]
        self.bags = {"train": train_bags, "val": val_bags, "test": test_bags}
        self.mean_size, self.std_size = mean_size, std_size
        self.split_seed = split_seed

    def read(self) -> dict[str, LabelledSets]:
        random = np.random.default_rng(self.split_seed)
        digits = self.read_digits()
        return {split: self._fill(*digits[split], count, random) for split, count in self.bags.items()}

    def read_digits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what each split is filled from: images `[N, H, W]` uint8 and their digits."""
        images, digit = read_digits()
        rows = split_rows(len(digit), val=0.15, test=0.25, seed=self.split_seed)
        return {split: (images[part], digit[part]) for split, part in rows.items()}

    def _fill(
        self, images: np.ndarray, digit: np.ndarray, count: int, random: np.random.Generator
    ) -> LabelledSets:
        label = np.arange(count) % 2
        sizes = random.normal(self.mean_size, self.std_size, count).round().astype(np.int64).clip(min=1)
        chosen = np.concatenate(
            [_draw(digit, size, bool(positive), random) for size, positive in zip(sizes, label, strict=True)]
        )
        return LabelledSets(
            torch.from_numpy(images[chosen].reshape(len(chosen), -1)),
            torch.from_numpy(sizes),
            torch.from_numpy(label),
            torch.from_numpy((digit[chosen] == TARGET).astype(np.int64)),
            torch.arange(count),
        )


def _draw(digit: np.ndarray, size: int, positive: bool, random: np.random.Generator) -> np.ndarray:
    """Draw rows for one bag, as they come: anew until a target is among them, or from all but the target."""
    if not positive:
        return random.choice(np.flatnonzero(digit != TARGET), size)
    while not (digit[rows := random.integers(0, len(digit), size)] == TARGET).any():
        continue
    return rows


class MnistBags(Bags):
    """Bags of digits of 28x28 pixels: those of train and val from MNIST's 60,000, of test from its 10,000."""

    element_shape = (28, 28)

    def prepare_data(self) -> None:
        """Find the files, or download them into the cache. Raises DataError where neither is possible."""
        fetch_mnist()

    def read_digits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        arrays = read_mnist()
        rows = split_rows(len(arrays["y_train"]), val=1 / 12, test=0, seed=self.split_seed)
        trained = {
            split: (arrays["x_train"][rows[split]], arrays["y_train"][rows[split]])
            for split in ("train", "val")
        }
        return trained | {"test": (arrays["x_test"], arrays["y_test"])}

"""The MNIST-bags of Ilse et al. (2018): does a bag of MNIST's digits contain a 9?"""

import numpy as np

from patchsets.data.bags import Bags
from patchsets.data.mnist import fetch_mnist, read_mnist
from patchsets.data.splitting import split_rows


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

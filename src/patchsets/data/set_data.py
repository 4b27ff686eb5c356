"""What a task expects of its data: a LightningDataModule that also says what its sets are."""

from typing import Any, Protocol

import numpy as np


class SetData(Protocol):
    """Sets with labels; every class in this folder is one, and so is any other with these members."""

    num_features: int  # of an element of a set; known after setup, like the classes
    classes: list[str]

    def prepare_data(self) -> None:
        """Look up or download, once per machine."""

    def setup(self, stage: str | None = None) -> None:
        """Read and split; may be called more than once."""

    def train_dataloader(self) -> Any: ...

    def val_dataloader(self) -> Any: ...

    def test_dataloader(self) -> Any: ...

    def make_batch(self, raw: Any, training: bool) -> Any:
        """Make a Batch, or an ImageBatch, from what a loader gave, on the device it was moved to."""

    def image(self, split: str, index: int) -> np.ndarray | None:
        """Return an example's image `[H, W]` or `[H, W, 3]` uint8, where it has one."""

    def fingerprint(self) -> dict[str, Any]:
        """Return plain values that differ when the data differ."""

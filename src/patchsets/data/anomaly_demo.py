"""The demonstration set for anomaly detection, made once from photographs that come with scikit-image."""

from pathlib import Path

from patchsets.data.anomaly import AnomalyImages
from patchsets.data.anomaly_demo_images import CATEGORIES, Counts, demo_parameters, make_demo
from workbench.common.cache import cached
from workbench.common.errors import ConfigError
from workbench.common.limits import AboveZero
from workbench.common.suggestions import nearest


class AnomalyDemo(AnomalyImages):
    """Grey images of 64x64 pixels with six kinds of defects, in four categories of rising difficulty.

    part: an aligned object; brick: structured; gravel, grass: neither. Validation has two more kinds.
    """

    def __init__(
        self,
        category: str,
        batch_size: AboveZero,
        seed: int,
        image_size: AboveZero = 64,
        train: int = 400,
        val: int = 100,
        per_kind: int = 20,
        demo_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        """Take so many good images for train and val, and `per_kind` anomalies of each kind."""
        super().__init__(None, batch_size, seed, image_size, num_workers=num_workers)
        if category not in CATEGORIES:
            close = nearest(category, list(CATEGORIES)) or f"; there is {', '.join(CATEGORIES)}"
            raise ConfigError(f"data.category: there is no {category}{close}")
        if min(train, val, per_kind) < 1:
            raise ConfigError("data.train, data.val and data.per_kind: each is a number above 0")
        self.category, self.demo_seed = category, demo_seed
        self.counts = Counts(train, val, per_kind)

    def prepare_data(self) -> None:
        """Make the images, unless they are in the cache."""
        self.folder()

    def folder(self) -> Path:
        """Return the folder that holds the images, made now or earlier."""
        parameters = demo_parameters(self.category, self.counts, self.demo_seed)
        return cached(
            "anomaly_demo",
            parameters,
            lambda folder: make_demo(folder, self.category, self.counts, self.demo_seed),
        )

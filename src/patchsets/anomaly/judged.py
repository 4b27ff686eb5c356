"""The images of one split as a detector judged them: all that metrics, figures and tables are made from.

Shapes: N images of H x W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.common.errors import UserError

CLASSES = ("good", "anomaly")
GOOD = CLASSES[0]  # also the kind of an image without defect


@dataclass(frozen=True)
class JudgedImages:
    """N images with their scores, and what is known of them.

    An anomaly whose mask is empty counts as one whose mask is not known.
    Raises ValueError where the parts do not fit together, UserError where a score is no finite number.
    """

    scores: Mapping[str, np.ndarray]  # [N] each, by "<map>/<pooling>"; higher is more anomalous
    chosen: str  # the score that decides
    label: np.ndarray  # [N] 0 good, 1 anomaly
    kind: Sequence[str]  # "good", or what the defect is
    file: Sequence[str]
    index: np.ndarray  # [N] row of each image in its split
    maps: np.ndarray | None = None  # [N, H, W] of the chosen score
    masks: np.ndarray | None = None  # [N, H, W] bool, True where the defect is
    images: np.ndarray | None = None  # [N, H, W] or [N, H, W, 3] uint8
    reconstructions: np.ndarray | None = None  # as images

    def __post_init__(self) -> None:
        parts = {"index": self.index, "kind": self.kind, "file": self.file, "maps": self.maps}
        parts |= {"masks": self.masks, "images": self.images, "reconstructions": self.reconstructions}
        for name, part in (parts | dict(self.scores)).items():
            if part is not None and len(part) != len(self.label):
                raise ValueError(f"{name} has {len(part)} entries for {len(self.label)} images")
        for name, score in self.scores.items():
            if bad := int((~np.isfinite(score)).sum()):
                raise UserError(f"{bad} of {len(score)} scores {name} are no finite numbers")

    def __len__(self) -> int:
        return len(self.label)

    @property
    def score(self) -> np.ndarray:
        """The score that decides `[N]`."""
        return self.scores[self.chosen]

    @property
    def is_anomaly(self) -> np.ndarray:
        """Which of the N are anomalies, bool."""
        return np.asarray(self.label) == 1

    @property
    def has_both(self) -> bool:
        """Whether there are good images and anomalies: without both nothing can be ranked."""
        return 0 < int(self.is_anomaly.sum()) < len(self)

    @property
    def mask_is_known(self) -> np.ndarray:
        """Of which of the N it is known where they are anomalous, bool."""
        if self.masks is None:
            return np.zeros(len(self), dtype=bool)
        return ~self.is_anomaly | self.masks.any(axis=(1, 2))

    def kinds(self) -> dict[str, np.ndarray]:
        """Return which of the N are of each kind, bool: good ones first, then defects by name."""
        names = np.array(self.kind, dtype=object)
        order = sorted(set(self.kind), key=lambda name: (name != GOOD, name))
        return {name: names == name for name in order}

"""The images of one split as a detector judged them: all that metrics, figures and tables are made from.

Shapes: N images of H x W pixels.

A network's scores, maps and reconstructions of the images of a split, collected batch by batch.

Shapes: B images of a batch, N of the split, C channels, H x W pixels.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from patchsets.anomaly.scoring import all_scores
from patchsets.data.anomaly import AnomalyImages
from patchsets.data.batch import ImageBatch
from workbench.common.errors import UserError

CLASSES = ("good", "anomaly")
SHOWN_FILES = 8
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
            if len(bad := np.flatnonzero(~np.isfinite(score))):
                files = ", ".join(self.file[row] for row in bad[:SHOWN_FILES])
                said = f"{len(bad)} of {len(score)} scores {name} are no finite numbers"
                raise UserError(f"{said}: {files}{', ...' if len(bad) > SHOWN_FILES else ''}")

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


class Judge:
    """Scores images by all maps and poolings of a network; keeps the map called `score_map`.

    Raises UserError where a score is not finite; KeyError where the network has no such map.
    """

    def __init__(self, network: nn.Module, score_map: str, pooling: str) -> None:
        self.network = network.eval()
        self.score_map = score_map
        self.chosen = f"{score_map}/{pooling}"
        self._parts: dict[str, list[np.ndarray]] = defaultdict(list)

    @torch.no_grad()
    def add(self, batch: ImageBatch) -> None:
        """Score a batch in full precision, as it will be when deployed."""
        with torch.autocast(batch.input.device.type, enabled=False):
            maps: dict[str, Tensor] = self.network.maps(batch.input)  # type: ignore[operator]
            parts = {"label": batch.label, "index": batch.index, "map": maps[self.score_map]}
            parts |= all_scores(maps)
            if hasattr(self.network, "reconstruct"):
                parts["reconstruction"] = self.network.reconstruct(batch.input)  # type: ignore[operator]
        for name, values in parts.items():
            self._parts[name].append(values.cpu().numpy())

    def judged(self, data: AnomalyImages, split: str) -> JudgedImages:
        """Return the images that were added, with what the data know of them."""
        parts = {name: np.concatenate(values) for name, values in self._parts.items()}
        rows = parts["index"].tolist()
        images = np.stack([data.image(split, row) for row in rows])
        return JudgedImages(
            scores={name: parts[name] for name in parts if "/" in name},
            chosen=self.chosen,
            label=parts["label"],
            kind=[data.kind(split, row) for row in rows],
            file=[data.file_name(split, row) for row in rows],
            index=parts["index"],
            maps=parts["map"],
            masks=known_masks(data, split, rows, images.shape[1:3]),
            images=images,
            reconstructions=as_pictures(parts["reconstruction"]) if "reconstruction" in parts else None,
        )


def known_masks(
    data: AnomalyImages, split: str, rows: Iterable[int], size: tuple[int, ...]
) -> np.ndarray | None:
    """Return the masks `[N, H, W]`, empty where one is not known; None where no defect has one."""
    masks = {row: data.mask(split, row) for row in rows}
    if not any(mask is not None and data.kind(split, row) != GOOD for row, mask in masks.items()):
        return None
    return np.stack([np.zeros(size, dtype=bool) if mask is None else mask for mask in masks.values()])


def as_pictures(images_NCHW: np.ndarray) -> np.ndarray:
    """Return images in 0..1 as uint8 `[N, H, W]` where they are grey, else `[N, H, W, 3]`."""
    pixels = np.round(255 * images_NCHW.clip(0, 1)).astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)

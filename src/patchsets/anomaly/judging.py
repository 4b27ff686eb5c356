"""A network's scores, maps and reconstructions of the images of a split, collected batch by batch.

Shapes: B images of a batch, N of the split, C channels, H x W pixels.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from patchsets.anomaly.judged import GOOD, JudgedImages
from patchsets.anomaly.scoring import all_scores
from patchsets.data.anomaly import AnomalyImages
from patchsets.data.batch import ImageBatch


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

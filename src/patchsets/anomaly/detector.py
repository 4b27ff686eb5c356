"""A trained network with all that a decision needs: what is deployed."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from patchsets.anomaly.scoring import from_uint8, pool


class Detector(nn.Module):
    """From uint8 images `[B, H, W, 3]` of the size the network was trained on to scores and decisions.

    `network` has `maps(images [B, C, H, W] in 0..1)`, a dict of maps `[B, H, W]`. Which map, and how it is
    pooled, are constants; `threshold`, `calibration` (the sorted scores of held-out good images `[n]`) and
    `colour_range` (of heat maps: low, contour, high) are buffers, which may be changed after an export too.
    """

    threshold: Tensor
    calibration: Tensor
    colour_range: Tensor

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        score_map: str,
        pooling: str,
        threshold: float,
        calibration: np.ndarray,
        colour_range: Sequence[float],
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.score_map = score_map
        self.pooling = pooling
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float32))
        self.register_buffer("calibration", torch.as_tensor(calibration, dtype=torch.float32))
        self.register_buffer("colour_range", torch.tensor(colour_range, dtype=torch.float32))

    def forward(self, images_BHWC: Tensor) -> dict[str, Tensor]:
        """Return score [B], p_value [B], is_anomaly [B] (bool) and map [B, H, W].

        The p-value is the conformal one: (1 + held-out good images scoring as high or higher) / (n + 1).
        """
        map_BHW = self.network.maps(from_uint8(images_BHWC, self.channels))[self.score_map]  # type: ignore[operator]
        score_B = pool(map_BHW, self.pooling)
        as_high_or_higher_B = (self.calibration >= score_B[:, None]).sum(dim=1)
        return {
            "score": score_B,
            "p_value": (1 + as_high_or_higher_B) / (1 + len(self.calibration)),
            "is_anomaly": score_B > self.threshold,
            "map": map_BHW,
        }


@torch.no_grad()
def milliseconds_per_image(detector: Detector, images_BHWC: Tensor, repeats: int = 3) -> float:
    """Return the median time that a batch takes, by image, after one batch to warm up."""
    seconds = []
    for _ in range(1 + repeats):
        begun = time.perf_counter()
        detector(images_BHWC)["score"].tolist()  # waits for a GPU
        seconds.append(time.perf_counter() - begun)
    return 1000 * float(np.median(seconds[1:])) / len(images_BHWC)


LOW, HIGH = 50, 99.9  # percentiles of the pixels of held-out good images
SMALLEST = 1e-6  # a range that divides, also where all pixels score the same


class ColourRange(NamedTuple):
    """Scores of a pixel: where colour begins, where a contour is drawn, where colour ends."""

    low: float
    contour: float
    high: float


def colour_range(good_maps: np.ndarray) -> ColourRange:
    """Return the range from the maps `[n, H, W]` of held-out good images.

    One good pixel in a thousand is above the contour; half as much again has the strongest colour.
    """
    low, contour = map(float, np.percentile(good_maps, (LOW, HIGH)))
    return ColourRange(low, contour, contour + max(0.5 * contour, 0.5 * (contour - low), SMALLEST))

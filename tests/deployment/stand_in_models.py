"""A detector that needs no training: dark pixels are anomalous."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from patchsets.anomaly.detector import Detector
from workbench.train.export import write_model


class Dark(nn.Module):
    """The darker a pixel, the higher its score."""

    def maps(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        return {"own": 1 - images_BCHW.mean(dim=1)}


def write_detector(folder: Path, size: int = 16) -> Path:
    """Write the model of a run that found dark spots."""
    calibration = np.linspace(0, 0.4, 9)
    detector = Detector(Dark(), 3, "own", "mean", 0.3, calibration, [0.2, 0.6, 1.0])
    poolings = {"max": {"threshold": 0.5, "calibration": [0.1, 0.2, 0.3]}}
    description = {"kind": "anomaly", "preprocessing": {"size": size, "fit": "letterbox"}, "threshold": 0.3}
    more = {"pooling": "mean", "poolings": poolings, "colour_range": [0.2, 0.6, 1.0], "run": "dark"}
    return write_model(detector, description | more, folder)

"""What trivial statistics reach on a test set: a warning where they alone tell good from bad."""

from collections import Counter

import numpy as np

from patchsets.anomaly.trivial import STATISTICS, best_of, trivial_scores

FEW = 20  # good images or anomalies
SUSPICIOUS = 0.65  # AUROC; chance reaches 0.57 on 60 + 60 images, as the best of six


class TrivialGuard:
    """Sees the test images one by one, of whatever size, and keeps their mean, deviation and range."""

    def __init__(self) -> None:
        self.values: list[list[float]] = []
        self.is_anomaly: list[bool] = []

    def see(self, image: np.ndarray, is_anomaly: bool) -> None:
        """Take one image `[H, W]` or `[H, W, 3]` uint8."""
        self.values.append([score.item() for score in trivial_scores(image[None]).values()])
        self.is_anomaly.append(is_anomaly)

    def verdict(self) -> str | None:
        """Say what the best of them reaches; None where there are not both kinds of images."""
        if len(set(self.is_anomaly)) < 2:
            return None
        scores = dict(zip(STATISTICS, np.array(self.values).T, strict=True))
        best = best_of(scores, np.array(self.is_anomaly))
        verdict = "a detector has to do better"
        if min(Counter(self.is_anomaly).values()) < FEW:
            verdict = "too few test images for it to mean much"
        elif best.auroc > SUSPICIOUS:
            verdict = "is it a leak? Good and anomalous images differ in light or contrast as a whole"
        return f"trivial statistics reach AUROC {best.auroc:.3f} ({best.name} of the image): {verdict}"

"""Judged images whose scores and maps are known."""

import numpy as np

from patchsets.anomaly.judged import JudgedImages

KINDS = ("scratch", "spot")


def judged(good: int, bad: int, seed: int = 0, shift: float = 1.5, size: int = 16) -> JudgedImages:
    """Give good images and anomalies whose defects are squares, brighter in image and map alike."""
    random = np.random.default_rng(seed)
    n = good + bad
    label = np.repeat([0, 1], [good, bad])
    masks = np.zeros((n, size, size), dtype=bool)
    masks[good:, 2:6, 3:9] = True
    maps = (random.random((n, size, size)) + masks * shift).astype(np.float32)
    images = (maps / maps.max() * 255).astype(np.uint8)
    scores = {"l2/max": maps.max(axis=(1, 2)), "l2/mean": maps.mean(axis=(1, 2))}
    kind = ["good"] * good + [KINDS[i % 2] for i in range(bad)]
    return JudgedImages(
        scores, "l2/mean", label, kind, [f"{k}/{i:03}.png" for i, k in enumerate(kind)], np.arange(n), maps,
        masks, images, images[:, ::-1],
    )  # fmt: skip


def scored(good: np.ndarray, bad: np.ndarray) -> JudgedImages:
    """Give images of which nothing but one score is known."""
    score = np.concatenate([good, bad]).astype(float)
    label = np.repeat([0, 1], [len(good), len(bad)])
    kind = ["good"] * len(good) + ["defect"] * len(bad)
    return JudgedImages({"own/max": score}, "own/max", label, kind, [""] * len(kind), np.arange(len(kind)))

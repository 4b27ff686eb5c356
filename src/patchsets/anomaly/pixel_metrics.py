"""How well a map finds the place of a defect: exact, though a split has millions of pixels.

All follow from one thing: the false-positive rate at the score of each anomalous pixel. So only the good
pixels' scores are sorted, and no curve is ever made. Shapes: N images, P anomalous pixels.
"""

import numpy as np
from scipy.ndimage import label

TOUCHING = np.ones((3, 3))  # pixels that meet in a corner are one region
AU_PRO_LIMITS = {"au_pro": 0.3, "au_pro_5": 0.05}  # false-positive rates up to which it is averaged


def pixel_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Return AUROC, average precision and AU-PRO of maps `[N, H, W]` against masks `[N, H, W]` bool.

    AU-PRO is the per-region overlap averaged over the false-positive rates up to 0.3, or to 0.05, and
    divided by that limit (Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset"). Empty where either
    kind of pixel is missing.
    """
    if masks.all() or not masks.any():
        return {}
    score_P = maps[masks]
    good = np.sort(maps[~masks])
    # A good pixel with an equal score counts as above and as not above.
    above_P, above_or_equal_P = (
        1 - np.searchsorted(good, score_P, side=side) / len(good) for side in ("right", "left")
    )
    share_P = _share_of_its_region(masks)
    return {
        "pixel_auroc": float(1 - (above_P + above_or_equal_P).mean() / 2),
        "pixel_average_precision": _average_precision(score_P, above_or_equal_P * len(good)),
        **{
            name: _area_up_to(limit, above_P, above_or_equal_P, share_P)
            for name, limit in AU_PRO_LIMITS.items()
        },
    }


def _average_precision(score_P: np.ndarray, false_P: np.ndarray) -> float:
    """Return the mean, over the anomalous pixels, of the precision at the score of each."""
    true_P = len(score_P) - np.searchsorted(np.sort(score_P), score_P, side="left")
    return float((true_P / (true_P + false_P)).mean())


def _area_up_to(limit: float, low_P: np.ndarray, high_P: np.ndarray, share_P: np.ndarray) -> float:
    """Return the area, over 0..limit, under a curve rising by each pixel's share between its two rates."""
    width_P = np.maximum(high_P - low_P, 1e-300)
    rising_P = np.clip(limit - low_P, 0, high_P - low_P)
    return float((share_P * (rising_P**2 / (2 * width_P) + np.maximum(limit - high_P, 0))).sum() / limit)


def _share_of_its_region(masks: np.ndarray) -> np.ndarray:
    """Return `[P]`: one over the pixels of its region, and over the number of regions."""
    shares, regions = [], 0
    for mask in masks[masks.any(axis=(1, 2))]:
        number_HW, found = label(mask, TOUCHING)
        number_p = number_HW[mask]
        shares.append(1 / np.bincount(number_p)[number_p])
        regions += found
    return np.concatenate(shares) / regions

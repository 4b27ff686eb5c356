"""Arrays to matplotlib figures: no torch, no files, no global state."""

from patchsets.figures.anomaly_maps import reconstruction_comparison, samples
from patchsets.figures.anomaly_scores import anomaly_roc, precision_recall, score_boxplot, score_histogram
from patchsets.figures.classification import accuracy_by_patches, confusion_matrix, roc
from patchsets.figures.curves import learning_curves
from patchsets.figures.examples import (
    Bag,
    Example,
    attention,
    bag_attention,
    confident_mistakes,
    pixel_weights,
)

__all__ = [
    "Bag",
    "Example",
    "accuracy_by_patches",
    "anomaly_roc",
    "attention",
    "bag_attention",
    "confident_mistakes",
    "confusion_matrix",
    "learning_curves",
    "pixel_weights",
    "precision_recall",
    "reconstruction_comparison",
    "roc",
    "samples",
    "score_boxplot",
    "score_histogram",
]

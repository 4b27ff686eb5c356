"""Arrays to matplotlib figures: no torch, no files, no global state."""

from patchsets.figures.anomaly_curves import anomaly_roc, precision_recall
from patchsets.figures.anomaly_maps import reconstruction_comparison, samples
from patchsets.figures.anomaly_scores import score_boxplot, score_histogram
from patchsets.figures.bags import Bag, bag_attention
from patchsets.figures.confusion import accuracy_by_patches, confusion_matrix
from patchsets.figures.curves import learning_curves
from patchsets.figures.examples import Example, attention, confident_mistakes, pixel_weights
from patchsets.figures.roc import roc

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

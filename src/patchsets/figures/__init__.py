"""Arrays to matplotlib figures: no torch, no files, no global state."""

from patchsets.figures.anomaly_maps import reconstruction_comparison, samples
from patchsets.figures.anomaly_scores import anomaly_roc, precision_recall, score_boxplot, score_histogram
from patchsets.figures.attention_maps import Bag, Places, attention, attention_map, bag_attention
from patchsets.figures.classification import accuracy_by_patches, confusion_matrix, roc
from patchsets.figures.curves import learning_curves
from patchsets.figures.examples import Example, confident_mistakes
from patchsets.figures.several import label_scores, predicted_numbers

__all__ = [
    "Bag",
    "Example",
    "Places",
    "accuracy_by_patches",
    "anomaly_roc",
    "attention",
    "attention_map",
    "bag_attention",
    "confident_mistakes",
    "confusion_matrix",
    "label_scores",
    "learning_curves",
    "precision_recall",
    "predicted_numbers",
    "reconstruction_comparison",
    "roc",
    "samples",
    "score_boxplot",
    "score_histogram",
]

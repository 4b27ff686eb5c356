"""Metrics of a whole split by name, computed by torchmetrics: of classes, of labels, and of numbers.

Shapes: N examples, C classes or labels, K numbers to regress.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional import classification, regression

EACH: dict[str, Callable[..., Tensor]] = {  # of one class against all others, or of one label
    "precision": classification.multilabel_precision,
    "recall": classification.multilabel_recall,
    "f1": classification.multilabel_f1_score,
    "auroc": classification.multilabel_auroc,
    "auprc": classification.multilabel_average_precision,
}
RANKED = ("auroc", "auprc")  # by score; the others by what was predicted
PER_CLASS, PER_TARGET = "_per_class", "_per_target"
OF_LABELS = (*EACH, *(f"{name}{PER_CLASS}" for name in EACH))
OF_CLASSES = ("balanced_accuracy", "kappa", *OF_LABELS)
NUMBERS: dict[str, Callable[..., Tensor]] = {
    "r2": regression.r2_score,
    "pearson": regression.pearson_corrcoef,
    "spearman": regression.spearman_corrcoef,
    "absolute_error": regression.mean_absolute_error,
}
OF_NUMBERS = (*NUMBERS, *(f"{name}{PER_TARGET}" for name in NUMBERS))


def of_classes(name: str, logits_NC: Tensor, label_N: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Return a metric of OF_CLASSES: the mean over the classes that occur; nothing where it is undefined.

    With two classes precision, recall, f1, auroc and auprc are those of the second one.
    """
    C = len(classes)
    if name == "kappa":
        value = classification.multiclass_cohen_kappa(logits_NC.argmax(1), label_N, C, validate_args=False)
        return {} if value.isnan() else {name: value.item()}
    chosen_NC, true_NC = (F.one_hot(n, C).bool() for n in (logits_NC.argmax(1), label_N))
    if name == "balanced_accuracy":
        return {name: _each("recall", logits_NC, chosen_NC, true_NC).nanmean().item()}
    value_C = _each(name.removesuffix(PER_CLASS), _log_odds(logits_NC.double()), chosen_NC, true_NC)
    if C == 2 and name in EACH:
        value_C = value_C[1:]
    return _named(name, PER_CLASS, value_C, classes)


def of_labels(name: str, logits_NC: Tensor, label_NC: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Return a metric of OF_LABELS: the mean over the labels that some examples have, and some have not."""
    value_C = _each(name.removesuffix(PER_CLASS), logits_NC.double(), logits_NC > 0, label_NC > 0.5)
    return _named(name, PER_CLASS, value_C, classes)


def of_numbers(name: str, output_NK: Tensor, label_NK: Tensor, targets: Sequence[str]) -> dict[str, float]:
    """Return a metric of OF_NUMBERS, the mean over the numbers to regress; nothing where it is undefined."""
    metric = NUMBERS[name.removesuffix(PER_TARGET)]
    if len(label_NK) < 2:
        return {}
    pairs = zip(output_NK.double().T.contiguous(), label_NK.double().T.contiguous(), strict=True)
    value_K = torch.stack([metric(output_N, label_N) for output_N, label_N in pairs])
    return _named(name, PER_TARGET, value_K, targets)


def _named(name: str, suffix: str, value_C: Tensor, parts: Sequence[str]) -> dict[str, float]:
    if not name.endswith(suffix):
        return {} if value_C.isnan().all() else {name: value_C.nanmean().item()}
    values: Mapping[str, float] = dict(zip(parts, value_C.tolist(), strict=True))
    return {f"{name}/{part}": value for part, value in values.items() if value == value}


def _each(name: str, score_NC: Tensor, chosen_NC: Tensor, true_NC: Tensor) -> Tensor:
    """Return a metric of each class `[C]`; NaN where the examples cannot tell it."""
    count_C = true_NC.sum(0)
    known_C = count_C > 0
    if name == "auroc":
        known_C &= count_C < len(true_NC)
    if name in ("precision", "f1"):  # a class that never occurs was predicted wrongly, as scikit-learn has it
        known_C |= chosen_NC.any(0)
    value_C = torch.full((len(count_C),), torch.nan, dtype=torch.float64)
    if known_C.any():
        given = [_rank(score_N) for score_N in score_NC.T] if name in RANKED else list(chosen_NC.T)
        given_NC = torch.stack(given, 1)[:, known_C]
        labels = int(known_C.sum())
        value_C[known_C.cpu()] = (
            EACH[name](given_NC, true_NC[:, known_C].long(), labels, average="none", validate_args=False)
            .double()
            .cpu()
            .reshape(-1)
        )
    return value_C


def _log_odds(logits_NC: Tensor) -> Tensor:
    """Return how likely each class is against all others; unlike its probability it is never rounded to 1."""
    log_NC = logits_NC.log_softmax(1)
    odds_NC = log_NC - (-log_NC.expm1()).log()
    top_N1 = logits_NC.argmax(1, keepdim=True)
    rest_N1 = logits_NC.scatter(1, top_N1, -torch.inf).logsumexp(1, keepdim=True)
    return odds_NC.scatter(1, top_N1, logits_NC.gather(1, top_N1) - rest_N1)


def _rank(score_N: Tensor) -> Tensor:
    """Return scores as ranks in 0..1: torchmetrics would squeeze others, and make large ones equal."""
    place_N = score_N.unique(return_inverse=True)[1]
    return place_N / place_N.max().clamp(min=1)

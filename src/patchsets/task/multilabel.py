"""Tell which of several labels a set has: any number of them, or none.

Shapes: B sets of a batch, N of a whole split, C labels.
"""

import logging
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.data.batch import Batch
from patchsets.data.image_sets import ImageSets
from patchsets.task import metrics
from patchsets.task.examination import Judged
from patchsets.task.task import Task
from workbench.common.errors import ConfigError

log = logging.getLogger(__name__)


class MultiLabel(Task):
    """Learns from the logits `[B, C]` of its network which labels `[B, C]`, each 0 or 1, a set has.

    `class_weights` says how much more an example with a label counts than one without it: a number for each
    label, or "balanced", how many lack it in the training split for each that has it. Validation and test
    tell the plain binary cross-entropy. Accuracy is that of all labels; one is predicted from one half on.
    """

    known_metrics = metrics.OF_LABELS

    def __init__(
        self, *arguments: Any, class_weights: list[float] | Literal["balanced"] | None = None, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self.class_weights = class_weights

    def preprocessing_train(self) -> None:
        super().preprocessing_train()
        self.weight_C = self._class_weights()

    def _class_weights(self) -> Tensor | None:
        if self.class_weights == "balanced":
            if (label_NC := self.training_labels()) is None:
                raise ConfigError(f"task: {type(self.data).__name__} does not say its training labels")
            return (1 - label_NC).sum(0) / label_NC.sum(0).clamp(min=1)
        if self.class_weights is None:
            return None
        if len(self.class_weights) != len(self.data.classes):
            raise ConfigError(
                f"task.class_weights: {len(self.class_weights)} numbers for {len(self.data.classes)} labels"
            )
        return torch.tensor(self.class_weights)

    def num_outputs(self) -> int:
        label = self.training_labels()
        if not self.data.classes or (label is not None and label.dim() != 2):
            better = "task=classification" if self.data.classes else "task=regression"
            raise ConfigError(f"task: these data have no examples of several labels; try {better}")
        return len(self.data.classes)

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        logits_BC, label_BC = self.network(batch.input), batch.label
        weight_C = None if self.weight_C is None else self.weight_C.to(logits_BC)
        loss = F.binary_cross_entropy_with_logits(logits_BC, label_BC, pos_weight=weight_C)
        return {"loss": loss, "accuracy": _accuracy(logits_BC, label_BC)}

    def judge(self, logits_NC: Tensor, label_NC: Tensor) -> dict[str, float]:
        loss = F.binary_cross_entropy_with_logits(logits_NC, label_NC)
        return {"loss": loss.item(), "accuracy": _accuracy(logits_NC, label_NC).item()} | self.named_metric(
            "auroc", logits_NC, label_NC
        )

    def named_metric(self, name: str, output: Tensor, label: Tensor) -> dict[str, float]:
        return metrics.of_labels(name, output, label, self.data.classes)

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return the accuracy of always the commoner answer to each label."""
        share_C = tested.label.mean(0)
        reached = torch.maximum(share_C, 1 - share_C).mean().item()
        log.info("always the commoner answer to each label would reach accuracy %.4f", reached)
        return {"trivial_accuracy": reached}

    def deployable(self) -> tuple[nn.Module, dict[str, Any]] | None:
        from patchsets.task.deployed_classifier import describe_classifier

        if not isinstance(self.data, ImageSets):
            return None
        return describe_classifier(self.network, self.data, "multilabel")


def _accuracy(logits_NC: Tensor, label_NC: Tensor) -> Tensor:
    return ((logits_NC > 0) == (label_NC > 0.5)).float().mean()

"""Classify a set: cross-entropy, accuracy, and the area under the ROC curve where there are two classes.

Regress one number from a set: mean absolute error.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchsets.anomaly.auroc import auroc
from patchsets.data.batch import Batch
from patchsets.data.image_sets import ImageSets
from patchsets.task import metrics
from patchsets.task.examination import Judged
from patchsets.task.task import Task
from workbench.common.errors import ConfigError
from workbench.common.limits import Share

log = logging.getLogger(__name__)


class Classification(Task):
    """Learns the class of a set from the logits `[B, classes]` of its network.

    `label_smoothing` and `class_weights` (a number for each class, or "balanced", the inverse of how often it
    is in the training split) change what is trained on; validation and test tell the plain cross-entropy.
    `loss`, of logits `[B, C]` and classes `[B]`, takes the place of both. A network may add its own loss:
    `forward_and_loss(sets, classes)` returns logits, that loss, and which share of the whole it has.
    """

    known_metrics = metrics.OF_CLASSES

    def __init__(
        self,
        *arguments: Any,
        label_smoothing: Share = 0.0,
        class_weights: list[float] | Literal["balanced"] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.label_smoothing, self.class_weights = label_smoothing, class_weights
        self.loss = loss

    def preprocessing_train(self) -> None:
        super().preprocessing_train()
        self.weight_C = self._class_weights()

    def _class_weights(self) -> Tensor | None:
        if self.class_weights == "balanced":
            data: Any = self.data
            counts_C = torch.bincount(data.splits["train"].label, minlength=len(data.classes))
            return counts_C.sum() / (len(data.classes) * counts_C.clamp(min=1))  # a class may have none
        if self.class_weights is None:
            return None
        if len(self.class_weights) != len(self.data.classes):
            raise ConfigError(
                f"task.class_weights: {len(self.class_weights)} numbers for {len(self.data.classes)} classes"
            )
        return torch.tensor(self.class_weights)

    def num_outputs(self) -> int:
        if len(self.data.classes) < 2:
            raise ConfigError("task: these data have no classes to tell apart; try task=regression")
        return len(self.data.classes)

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        network: Any = self.network
        if hasattr(network, "forward_and_loss"):
            logits_BC, own_loss, share = network.forward_and_loss(batch.input, batch.label)
            loss = (1 - share) * self._training_loss(logits_BC, batch.label) + share * own_loss
        else:
            logits_BC = network(batch.input)
            loss = self._training_loss(logits_BC, batch.label)
        accuracy = (logits_BC.argmax(dim=1) == batch.label).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    def _training_loss(self, logits_BC: Tensor, label_B: Tensor) -> Tensor:
        if self.loss is not None:
            return self.loss(logits_BC, label_B)
        weight_C = None if self.weight_C is None else self.weight_C.to(logits_BC)
        return F.cross_entropy(logits_BC, label_B, weight_C, label_smoothing=self.label_smoothing)

    def judge(self, logits_NC: Tensor, label_N: Tensor) -> dict[str, float]:
        found = {
            "loss": float((self.loss or F.cross_entropy)(logits_NC, label_N)),
            "accuracy": (logits_NC.argmax(dim=1) == label_N).float().mean().item(),
        }
        if logits_NC.shape[1] == 2 and len(label_N.unique()) == 2:
            score_N = logits_NC[:, 1].double() - logits_NC[:, 0]
            found["auroc"] = auroc(score_N.cpu().numpy(), label_N.cpu().numpy())
        return found

    def named_metric(self, name: str, output: Tensor, label: Tensor) -> dict[str, float]:
        return metrics.of_classes(name, output, label, self.data.classes)

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return what always the commonest class reaches, and the best AUROC where the data know it."""
        always = self._always_the_commonest(tested.label) if tested.label.dim() == 1 else {}
        if not hasattr(self.data, "log_likelihood_ratio"):
            return always
        ratio_N = self.data.log_likelihood_ratio("test")[tested.index.cpu().numpy()]
        return always | {"best_possible_auroc": auroc(ratio_N, tested.label.cpu().numpy())}

    def _always_the_commonest(self, label_N: Tensor) -> dict[str, float]:
        commonest = label_N.bincount().argmax()
        answer_NC = F.one_hot(commonest, len(self.data.classes)).float().expand(len(label_N), -1)
        reached = {"accuracy": (label_N == commonest).float().mean().item()}
        for name in (name for name, own in self.metrics.items() if own is None and "_per_" not in name):
            reached |= self.named_metric(name, answer_NC, label_N)
        said = ", ".join(f"{name} {value:.4f}" for name, value in reached.items())
        log.info("always the commonest class, %s, would reach %s", self.data.classes[commonest], said)
        return {f"trivial_{name}": value for name, value in reached.items()}

    def deployable(self) -> tuple[nn.Module, dict[str, Any]] | None:
        from patchsets.task.deployed_classifier import describe_classifier

        return describe_classifier(self.network, self.data) if isinstance(self.data, ImageSets) else None


class Regression(Task):
    """Learns a number per set from the output `[B, 1]` of its network."""

    def num_outputs(self) -> int:
        return 1

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": F.l1_loss(self.network(batch.input).squeeze(1), batch.label)}

    def judge(self, output_N1: Tensor, label_N: Tensor) -> dict[str, float]:
        error_N = output_N1.squeeze(1) - label_N
        return {
            "loss": error_N.abs().mean().item(),
            "root_mean_squared_error": error_N.square().mean().sqrt().item(),
        }

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return the metrics of the best constant answers: the median of the labels, and their mean."""
        label_N = tested.label.float()
        return {
            "trivial_loss": (label_N - label_N.median()).abs().mean().item(),
            "trivial_root_mean_squared_error": label_N.std(correction=0).item(),
        }

"""Classify a set: cross-entropy, accuracy, and the area under the ROC curve where there are two classes.

Regress one number or several from a set: mean absolute error.
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
from patchsets.task.examination import Judged, targets_of
from patchsets.task.task import Task
from workbench.common.errors import ConfigError
from workbench.common.limits import Share

log = logging.getLogger(__name__)


class Classification(Task):
    """Learns the class of a set from the logits `[B, classes]` of its network.

    `label_smoothing` and `class_weights` (a number for each class, or "balanced", the inverse of how often it
    is in the training split) change what is trained on; validation and test tell the plain cross-entropy.
    A `sampling` of "balanced" draws each class equally often, with replacement, whatever it is in the split.
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
        sampling: Literal["balanced"] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.sampling = sampling
        self.label_smoothing, self.class_weights = label_smoothing, class_weights
        self.loss = loss

    def preprocessing_train(self) -> None:
        super().preprocessing_train()
        self.weight_C = self._class_weights()

    def _class_weights(self) -> Tensor | None:
        if self.class_weights == "balanced":
            counts_C = self._counts()
            return counts_C.sum() / (len(counts_C) * counts_C.clamp(min=1))  # a class may have none
        if self.class_weights is None:
            return None
        if len(self.class_weights) != len(self.data.classes):
            raise ConfigError(
                f"task.class_weights: {len(self.class_weights)} numbers for {len(self.data.classes)} classes"
            )
        return torch.tensor(self.class_weights)

    def _counts(self) -> Tensor:
        """Count the training examples of each class `[C]`."""
        label_N = self.training_labels()
        if label_N is None:
            raise ConfigError(f"task: {type(self.data).__name__} does not say its training labels to balance")
        return torch.bincount(label_N, minlength=len(self.data.classes))

    def train_dataloader(self) -> Any:
        loader = super().train_dataloader()
        if self.sampling == "balanced":
            loader.sampler.weights = (1 / self._counts())[self.training_labels()]
        return loader

    def num_outputs(self) -> int:
        if len(self.data.classes) < 2:
            raise ConfigError("task: these data have no classes to tell apart; try task=regression")
        return len(self.data.classes)

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        if batch.label.dim() > 1:
            raise ConfigError("task: an example of these data has several labels; try task=multilabel")
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
    """Learns a number of each set `[B]`, or several `[B, K]`, from the output `[B, K]` of its network.

    Several count alike as they are: bring them to one scale in the data.
    """

    known_metrics = metrics.OF_NUMBERS

    def num_outputs(self) -> int:
        if self.data.classes:
            raise ConfigError("task: these data have classes, no numbers to regress; try task=classification")
        label = self.training_labels()
        return 1 if label is None or label.dim() == 1 else label.shape[1]

    def training_values(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": F.l1_loss(self.network(batch.input), _columns(batch.label))}

    def judge(self, output_NK: Tensor, label: Tensor) -> dict[str, float]:
        error_NK = output_NK - _columns(label)
        return {
            "loss": error_NK.abs().mean().item(),
            "root_mean_squared_error": error_NK.square().mean().sqrt().item(),
        }

    def named_metric(self, name: str, output: Tensor, label: Tensor) -> dict[str, float]:
        label_NK = _columns(label)
        return metrics.of_numbers(name, output, label_NK, targets_of(self.data, label_NK.shape[1]))

    def reference(self, tested: Judged) -> dict[str, float]:
        """Return the metrics of the best constant answers: the median of the labels, and their mean."""
        label_NK = _columns(tested.label).float()
        return {
            "trivial_loss": (label_NK - label_NK.median(0).values).abs().mean().item(),
            "trivial_root_mean_squared_error": label_NK.var(0, correction=0).mean().sqrt().item(),
        }

    def deployable(self) -> tuple[nn.Module, dict[str, Any]] | None:
        from patchsets.task.deployed_classifier import describe_classifier

        if not isinstance(self.data, ImageSets):
            return None
        return describe_classifier(
            self.network, self.data, "regression", targets_of(self.data, self.num_outputs())
        )


def _columns(label: Tensor) -> Tensor:
    return label if label.dim() == 2 else label[:, None]

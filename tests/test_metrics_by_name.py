"""task.metrics and task.monitor by name: the values are scikit-learn's, the direction is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import start
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from whole_command import QUICK

from patchsets.task import metrics
from workbench.common.errors import ConfigError
from workbench.run.metrics_file import better, goal_of, read_metrics

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # of Lightning, and of classes that are missing
FEW = ["+trainer.limit_train_batches=2", "loggers=[]", "hparams.schedule=null", "hparams.learning_rate=0.05"]


def examples(classes: int, size: int = 300) -> tuple[Tensor, Tensor]:
    """Return logits, large enough for probabilities of 1, and labels; the last of many classes is missing."""
    generator = torch.Generator().manual_seed(classes)
    label_N = torch.randint(classes - (classes > 2), (size,), generator=generator)
    logits_NC = 60 * torch.randn(size, classes, generator=generator)
    return logits_NC + 60 * torch.nn.functional.one_hot(label_N, classes), label_N


def value(name: str, classes: int) -> float:
    logits_NC, label_N = examples(classes)
    (found,) = metrics.of_classes(name, logits_NC, label_N, [str(c) for c in range(classes)]).values()
    return found


def test_metrics_of_two_classes_are_those_of_the_second() -> None:
    logits_N2, label = examples(2)
    score, answer = (logits_N2[:, 1] - logits_N2[:, 0]).numpy(), logits_N2.argmax(1).numpy()
    expected = {
        "f1": sklearn_metrics.f1_score(label, answer),
        "precision": sklearn_metrics.precision_score(label, answer),
        "recall": sklearn_metrics.recall_score(label, answer),
        "auroc": sklearn_metrics.roc_auc_score(label, score),
        "auprc": sklearn_metrics.average_precision_score(label, score),
        "kappa": sklearn_metrics.cohen_kappa_score(label, answer),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(label, answer),
    }
    assert {name: value(name, 2) for name in expected} == pytest.approx(expected, abs=1e-6)


def test_metrics_of_more_classes_are_means_over_those_that_occur() -> None:
    """torchmetrics' own mean counts a class that does not occur as 0."""
    logits_NC, label_N = examples(5)
    label, answer = label_N.numpy(), logits_NC.argmax(1).numpy()
    logits = logits_NC.double().numpy()
    others = [np.logaddexp.reduce(np.delete(logits, c, axis=1), axis=1) for c in range(4)]
    areas = [sklearn_metrics.roc_auc_score(label == c, logits[:, c] - others[c]) for c in range(4)]
    expected = {
        "f1": sklearn_metrics.f1_score(label, answer, average="macro"),
        "auroc": np.mean(areas),
        "kappa": sklearn_metrics.cohen_kappa_score(label, answer),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(label, answer),
    }
    assert {name: value(name, 5) for name in expected} == pytest.approx(expected, abs=1e-6)
    each = metrics.of_classes("auroc_per_class", logits_NC, label_N, list("abcde"))
    assert list(each) == [f"auroc_per_class/{name}" for name in "abcd"]
    assert list(each.values()) == pytest.approx(areas, abs=1e-6)
    recalls = metrics.of_classes("recall_per_class", logits_NC, label_N, list("abcde")).values()
    assert np.mean(list(recalls)) == pytest.approx(expected["balanced_accuracy"])


def test_what_one_class_cannot_tell_is_left_out() -> None:
    logits, label = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.ones(4).long()
    for name in ("auroc", "auroc_per_class"):
        assert metrics.of_classes(name, logits, label, ["a", "b"]) == {}
    assert metrics.of_classes("kappa", logits.new_tensor([[0.0, 1.0]]), label[:1], ["a", "b"]) == {}


def test_names_tell_which_is_better() -> None:
    for name in (*metrics.OF_CLASSES, *metrics.OF_NUMBERS):
        assert better(f"val/{name}") == ("min" if "error" in name else "max")
    assert better("val/root_mean_squared_error") == "min" and better("val/mine") is None
    assert goal_of(None, "val/auroc", None) == ("val/auroc", "max")
    assert goal_of(None, "val/auroc", "min") == ("val/auroc", "min")
    assert goal_of(None, None, None) == ("val/loss", "min")


def test_a_run_logs_metrics_by_name_and_keeps_the_best_epoch_by_one(tmp_path: Path) -> None:
    names = "task.metrics=[balanced_accuracy,recall_per_class]"
    metrics = start(*QUICK, *FEW, names, "task.monitor=val/balanced_accuracy", f"outputs={tmp_path}")
    recalls = [value for name, value in metrics.items() if name.startswith("test/recall_per_class/")]
    assert len(recalls) == 10
    assert metrics["test/balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert metrics["test/trivial_balanced_accuracy"] == pytest.approx(0.1)
    (folder,) = tmp_path.glob("patch_sets/2*")
    values = [row.value for row in read_metrics(folder) if row.name == "val/balanced_accuracy"]
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == values.index(max(values))
    assert "always the commonest class" in (folder / "train.log").read_text()


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    for words, line in {
        "task.metrics=[f1,f2]": "Classification has no f2; there is balanced_accuracy, kappa,",
        "task.metrics={recal: null}": r"Classification has no recal: did you mean recall\?",
        "task.monitor=val/mine": "task.monitor: val/mine is not known by name",
    }.items():
        with pytest.raises(ConfigError, match=line):
            start(*QUICK, words, f"outputs={tmp_path}")
    assert not list(tmp_path.iterdir())

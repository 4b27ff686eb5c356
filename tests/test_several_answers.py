"""Several labels at once, one number or several: training, metrics, report, exported model."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from patchsets.data.digits import Digits
from patchsets.data.image_sets import LabelledImages
from patchsets.data.vector_sets import LabelledSets, VectorSets
from patchsets.model.deep_sets import DeepSets
from patchsets.task.classification import Classification, Regression
from patchsets.task.multilabel import MultiLabel
from patchsets.task.task import Task
from workbench.common.errors import ConfigError
from workbench.portable.model import load_model
from workbench.train.export import write_task

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of Lightning: few workers
    pytest.mark.filterwarnings(r"ignore:.*LeafSpec.*:FutureWarning"),
]
SETTINGS = {
    "optimizer": "Adam",
    "learning_rate": 0.02,
    "weight_decay": 0.0,
    "schedule": None,
    "batch_size": 16,
}
MEAN = partial(DeepSets, width=16, depth=1, pool=["mean"])


class Several(VectorSets):
    """Sets of 4 vectors; label k is whether the mean of feature k is above 0, or that mean itself."""

    def __init__(self, classes: list[str], targets: list[str] | None = None, columns: int = 3) -> None:
        super().__init__(batch_size=16, seed=0)
        self.classes, self.columns = classes, columns
        self.targets = targets or []

    def read(self) -> dict[str, LabelledSets]:
        return {split: self._make(place) for place, split in enumerate(("train", "val", "test"))}

    def _make(self, seed: int) -> LabelledSets:
        values = torch.randn(96 * 4, 3, generator=torch.Generator().manual_seed(seed))
        mean = values.reshape(96, 4, 3).mean(1)[:, : self.columns]
        label = (mean > 0).float() if self.classes else mean if self.columns > 1 else mean.squeeze(1)
        return LabelledSets(values, torch.full((96,), 4), label, torch.zeros(96 * 4), torch.arange(96))


def trained(kind: Callable[..., Task], data: Any, **words: Any) -> tuple[Task, dict[str, float]]:
    task = kind(data=data, network=MEAN, settings=SETTINGS, optimizers={}, seed=0, **words)
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, max_epochs=8, num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(task)
    (metrics,) = trainer.test(task, verbose=False)
    return task, dict(metrics)


def report(task: Task, folder: Path) -> tuple[list[dict[str, str]], set[str]]:
    """Return the lines of the predictions and the names of the figures."""
    task.report(folder)
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file)), {path.stem for path in (folder / "figures").iterdir()}


def test_several_labels_are_learned_judged_and_reported(tmp_path: Path) -> None:
    names = ["red", "large", "日本"]
    words = {"metrics": ["f1", "recall_per_class"], "class_weights": "balanced"}
    task, metrics = trained(MultiLabel, Several(names), **words)
    lines, figures = report(task, tmp_path)
    assert figures == {"labels"} and len(lines) == 96
    score = np.array([[float(line[f"probability of {name}"]) for name in names] for line in lines])
    true = np.array([[name in line["label"].split(";") for name in names] for line in lines])
    said = np.array([[name in line["predicted"].split(";") for name in names] for line in lines])
    assert metrics["test/auroc"] == pytest.approx(roc_auc_score(true, score, average="macro"), abs=1e-5)
    assert metrics["test/auroc"] > 0.8
    assert metrics["test/accuracy"] == pytest.approx((true == said).mean(), abs=1e-6)
    assert metrics["test/recall_per_class/red"] == pytest.approx(said[true[:, 0], 0].mean(), abs=1e-6)
    share = true.mean(0)
    assert metrics["test/trivial_accuracy"] == pytest.approx(np.maximum(share, 1 - share).mean(), abs=1e-6)


def test_several_numbers_are_learned_judged_and_reported(tmp_path: Path) -> None:
    task, metrics = trained(
        Regression, Several([], ["a", "b", "c"]), metrics=["r2", "absolute_error_per_target"]
    )
    lines, figures = report(task, tmp_path)
    assert figures == {"predicted_numbers"}
    errors = [
        [abs(float(line[f"label {k}"]) - float(line[f"predicted {k}"])) for k in "abc"] for line in lines
    ]
    assert metrics["test/loss"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert metrics["test/loss"] < metrics["test/trivial_loss"]
    assert metrics["test/absolute_error_per_target/b"] == pytest.approx(np.mean(errors, axis=0)[1], rel=1e-4)
    assert 0.5 < metrics["test/r2"] <= 1


def test_one_number_is_reported_as_before(tmp_path: Path) -> None:
    task, metrics = trained(Regression, Several([], columns=1))
    lines, figures = report(task, tmp_path)
    assert figures == {"predicted_numbers"} and list(lines[0]) == ["index", "label", "predicted"]
    error = [abs(float(line["label"]) - float(line["predicted"])) for line in lines]
    assert metrics["test/loss"] == pytest.approx(np.mean(error), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (Classification, Several(["a", "b", "c"]), "task=multilabel"),
        (Regression, Several(["a", "b", "c"]), "task=classification"),
        (MultiLabel, Several([]), "task=regression"),
        (MultiLabel, Digits(16, 0), "task=classification"),
    ],
)
def test_a_task_for_other_labels_is_refused(kind: type[Task], data: Any, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        trained(kind, data)


class SomeLabels(Digits):
    """Digits, with the labels: is it even, is it large; or with two numbers."""

    def __init__(self, classes: list[str]) -> None:
        super().__init__(batch_size=64, seed=0, patch_size=4, stride=4)
        self.of_digits, self.targets = classes, ["half", "double"]

    def read(self) -> dict[str, LabelledImages]:
        parts = super().read()
        self.classes = self.of_digits
        return {
            split: LabelledImages(part.images, self._label(part.label.float()), part.index)
            for split, part in parts.items()
        }

    def _label(self, digit: Tensor) -> Tensor:
        columns = (digit % 2 == 0, digit > 4) if self.classes else (digit / 2, digit * 2)
        return torch.stack(columns, 1).float()


@pytest.mark.parametrize("classes", [["even", "large"], []])
def test_the_exported_model_answers_as_the_task_did(tmp_path: Path, classes: list[str]) -> None:
    data = SomeLabels(classes)
    data.setup()
    task: Task = (MultiLabel if classes else Regression)(
        data=data, network=MEAN, settings=SETTINGS, optimizers={}, seed=0
    )
    task.setup("test")
    task.configure_model()
    assert write_task(task.eval(), tmp_path)
    model = load_model(tmp_path / "model")
    images = np.stack([data.image("test", row) for row in range(3)])[..., None].repeat(3, axis=3)
    answers = model(images)
    raw = data.splits["test"].take(torch.arange(3))
    with torch.no_grad():
        output = task.network(data.make_batch(raw, training=False).input)
    expected = output.sigmoid() if classes else output
    assert np.allclose(answers["probability" if classes else "value"], expected, atol=1e-5)
    row = model.rows(answers)[0]
    assert list(row) == (
        ["labels", "probability of even", "probability of large"] if classes else data.targets
    )


def test_balanced_sampling_draws_each_class_equally_often() -> None:
    data = Digits(64, 0)
    data.setup()
    train = data.splits["train"]
    few = torch.cat([(train.label == 0).nonzero()[:10], (train.label == 1).nonzero()]).squeeze(1)
    data.splits["train"] = LabelledImages(train.images.take(few), train.label[few], torch.arange(len(few)))
    counts = {}
    for sampling in (None, "balanced"):
        task = Classification(
            data=data, network=MEAN, settings=SETTINGS, optimizers={}, seed=0, sampling=sampling
        )
        task.trainer = lightning.Trainer(logger=False, accelerator="cpu")
        label = torch.cat([raw.label for raw in task.train_dataloader()])
        counts[sampling] = (label == 0).float().mean().item()
    assert counts[None] == pytest.approx(10 / len(few)) and 0.35 < counts["balanced"] < 0.65

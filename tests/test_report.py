"""The report of a tested task: what it writes, that it is right, and that it disturbs nothing."""

import csv
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from patchsets.data.bags import Bags
from patchsets.data.digits import Digits
from patchsets.data.folder import Folder
from patchsets.data.synthetic import MaxRegression, Needle
from patchsets.model.attention_pool import AttentionPool
from patchsets.model.deep_sets import DeepSets
from patchsets.set_module import Sets
from patchsets.task.classification import Classification, Regression
from patchsets.task.examination import (
    Judged,
    confident_mistakes,
    correct_by_patches,
    element_weights,
    examine,
    raw_batches,
    typical_examples,
)
from patchsets.task.instances import instance_metrics
from patchsets.task.report import count_confusions
from patchsets.task.task import Task
from workbench.common.errors import UserError

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:.*LeafSpec.*:FutureWarning"),  # Lightning 2.6.6 on torch 2.13
    pytest.mark.filterwarnings(r"ignore:.*does not have many workers.*"),
]

SETTINGS = {"optimizer": "Adam", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": None}
ATTENTIVE = partial(AttentionPool, width=8, depth=1)
MEAN = partial(DeepSets, width=8, depth=1, pool=["mean"])


def after_test(data: Any, network: Any = MEAN, kind: type[Task] = Classification) -> Task:
    """Return a task whose network is untrained, after a real test."""
    task = kind(data=data, network=network, settings=SETTINGS, optimizers={}, seed=0)
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.test(task, verbose=False)
    return task


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "figures").iterdir()}


def test_digits_leave_predictions_and_four_figures(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=100, seed=0), ATTENTIVE)
    task.report(tmp_path)
    # No learning curves: nothing was trained, there is no metrics.csv.
    assert names(tmp_path) == {
        "confusion_matrix.png",
        "confident_mistakes.png",
        "accuracy_by_patches.png",
        "attention.png",
    }


def test_predictions_give_back_the_accuracy_that_was_tested(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=100, seed=0))
    task.report(tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    right = sum(line["label"] == line["predicted"] for line in lines) / len(lines)
    assert right == pytest.approx(float(task.trainer.callback_metrics["test/accuracy"]))
    assert [int(line["index"]) for line in lines] == list(range(len(lines)))
    for line in lines[:20]:
        shares = {name: float(line[f"probability of {name}"]) for name in task.data.classes}
        assert max(shares, key=shares.__getitem__) == line["predicted"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_what_needs_no_learning_stands_beside_the_metrics(tmp_path: Path) -> None:
    metrics = after_test(Digits(batch_size=100, seed=0)).trainer.callback_metrics
    assert 0.1 < float(metrics["test/trivial_accuracy"]) < 0.15
    task = after_test(MaxRegression(batch_size=100, seed=0, test_sets=200), kind=Regression)
    assert task.tested is not None
    label = task.tested.label.double()
    constants = torch.linspace(float(label.min()), float(label.max()), 500)
    best = min(float((label - constant).abs().mean()) for constant in constants)
    trivial = task.reference(task.tested)
    assert trivial["trivial_loss"] == pytest.approx(best, rel=0.01)
    assert trivial["trivial_root_mean_squared_error"] == pytest.approx(float(label.std(correction=0)))


def test_predictions_on_files_name_each(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(12):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ab"[number % 2] / f"日本語, {number}.png")
    data = Folder(4, 0, root=str(tmp_path), patch_size=4, stride=4)
    task = after_test(data)
    assert task.tested is not None
    task.tested = Judged(*(part.flip(0) for part in vars(task.tested).values()))  # in whatever order
    task.report(tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["index"] for line in lines] == ["1", "0"]
    for line in lines:
        with Image.open(tmp_path / line["file"]) as image:
            assert np.array_equal(np.asarray(image), data.image("test", int(line["index"])))
        assert line["file"].startswith(f"{line['label']}/")


def test_bags_show_which_elements_decide(tmp_path: Path) -> None:
    task = after_test(Bags(batch_size=50, seed=0), ATTENTIVE)
    task.report(tmp_path)
    assert names(tmp_path) == {"confusion_matrix.png", "roc.png", "attention.png"}


def test_vectors_without_images_get_what_makes_sense_for_them(tmp_path: Path) -> None:
    after_test(Needle(batch_size=100, seed=0, test_sets=200)).report(tmp_path)
    assert names(tmp_path) == {"confusion_matrix.png", "roc.png"}


def test_regression_lists_numbers_and_has_no_classes(tmp_path: Path) -> None:
    after_test(MaxRegression(batch_size=100, seed=0, test_sets=200), kind=Regression).report(tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["index", "label", "predicted"]
    assert names(tmp_path) == {"predicted_numbers.png"}


def test_several_labels_that_a_task_of_ones_own_tested_are_listed_by_name(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=100, seed=0))
    assert task.tested is not None
    several = torch.nn.functional.one_hot(task.tested.label, 10)
    several[0, 7] = 1
    task.tested = Judged(task.tested.output, several, task.tested.index)
    task.report(tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    true, said = (part[0].nonzero().squeeze(1).tolist() for part in (several, task.tested.output > 0))
    assert len(true) == 2 and first["label"] == ";".join(map(str, true))
    assert first["predicted"] == ";".join(map(str, said))
    assert names(tmp_path) == {"labels.png"}


def test_a_task_that_was_not_tested_leaves_nothing(tmp_path: Path) -> None:
    data = Digits(batch_size=100, seed=0)
    Classification(data=data, network=MEAN, settings=SETTINGS, optimizers={}, seed=0).report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_random_numbers_mode_and_weights_are_as_before(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=100, seed=0))
    task.train()
    weights = {name: value.clone() for name, value in task.state_dict().items()}
    torch.manual_seed(7)
    task.report(tmp_path)
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))
    assert task.training
    assert all(torch.equal(value, weights[name]) for name, value in task.state_dict().items())
    assert all(parameter.grad is None for parameter in task.parameters())


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=100, seed=0))
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        task.report(tmp_path / name)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()})
    assert contents[0] == contents[1]


class Brightest(nn.Module):
    """Answers by the element whose first feature is largest; nothing else matters to it."""

    def forward(self, sets: Sets) -> Tensor:
        largest = torch.stack([one[:, 0].max() for one in sets.split()])
        return torch.stack([largest, -largest], dim=1)


def test_gradients_find_the_element_that_decides() -> None:
    values = torch.tensor([[1.0, 5], [9, 5], [2, 5], [3, 5], [0.5, 5]])
    weight, method = element_weights(Brightest(), Sets(values, torch.tensor([3, 2])))
    torch.testing.assert_close(weight, torch.tensor([0.0, 1, 0, 1, 0]))
    assert method.startswith("gradient")


def test_elements_without_any_gradient_share_alike() -> None:
    class Constant(nn.Module):
        def forward(self, sets: Sets) -> Tensor:
            return torch.zeros(len(sets), 2) + 0 * sets.values.sum()

    weight, _ = element_weights(Constant(), Sets(torch.rand(5, 3), torch.tensor([4, 1])))
    torch.testing.assert_close(weight, torch.tensor([0.25] * 4 + [1.0]))


def test_weights_belong_to_the_rows_they_were_asked_for() -> None:
    task = after_test(Digits(batch_size=50, seed=0), ATTENTIVE)
    rows = [200, 3, 120]
    sets, method = examine(task, rows)
    assert method.startswith("attention")
    for row, one in zip(rows, sets, strict=True):
        image = task.data.image("test", row)
        assert image is not None
        y, x = one.positions[7]
        np.testing.assert_allclose(one.values[7, :9], image[y : y + 3, x : x + 3].ravel() / 255, atol=1e-6)
        assert one.weight.mean() == pytest.approx(1, abs=1e-5)


def test_accuracy_by_patches_ends_with_all_of_them() -> None:
    task = after_test(Digits(batch_size=100, seed=0))
    with torch.no_grad():
        correct = correct_by_patches(task, task.tested)
    assert list(correct) == [1, 2, 4, 9, 16, 36]
    assert len({shown for _, shown in correct.values()}) == 1
    right, shown = correct[36]
    assert right / shown == pytest.approx(float(task.trainer.callback_metrics["test/accuracy"]))


def judged(label: list[int], predicted: list[int], margin: list[float]) -> Judged:
    output = nn.functional.one_hot(torch.tensor(predicted), 3) * torch.tensor(margin)[:, None]
    return Judged(output, torch.tensor(label), torch.arange(len(label)) + 100)


def test_choice_of_examples() -> None:
    some = judged([0, 0, 0, 1, 2, 1, 2, 0], [0, 0, 0, 1, 2, 2, 0, 2], [1, 1, 1, 1, 1, 2, 3, 1.5])
    assert confident_mistakes(some) == [6, 5, 7]
    # Right answers are 0, 1, 2 (class 0), 3 (class 1), 4 (class 2): one of each class, then again.
    assert typical_examples(some, 8) == [0, 3, 4, 1, 2, 6, 5, 7]
    assert typical_examples(some, 4) == [0, 3, 4, 6]


def test_mistakes_are_shown_where_hardly_anything_is_right() -> None:
    bad = judged([0, 0, 0, 0, 1], [1, 2, 1, 0, 2], [1.0, 2, 3, 4, 5])
    assert typical_examples(bad, 4) == [3, 4, 2, 1]


def test_confusions_are_counted() -> None:
    assert count_confusions(judged([0, 0, 2, 2], [0, 1, 2, 2], [1.0] * 4), 3).tolist() == [
        [1, 1, 0],
        [0, 0, 0],
        [0, 0, 2],
    ]


def test_every_so_manieth_batch() -> None:
    task = after_test(Digits(batch_size=50, seed=0))
    assert sum(1 for _ in raw_batches(task, 3)) == -(-sum(1 for _ in raw_batches(task)) // 3)


def looked_at(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "attention.h5") as file:
        return {name: array[:] for name, array in file.items()} | dict(file.attrs)


def test_attention_of_patches_is_kept_beside_the_predictions(tmp_path: Path) -> None:
    task = after_test(Digits(batch_size=50, seed=0), ATTENTIVE)
    assert task.tested is not None
    order = torch.randperm(len(task.tested.label), generator=torch.Generator().manual_seed(0))[5:]
    task.tested = Judged(*(part[order] for part in vars(task.tested).values()))  # 5 were not judged
    task.report(tmp_path)
    told = looked_at(tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        said = {int(line["index"]): line for line in csv.DictReader(file)}
    assert told["patch_size"] == 3 and sorted(told["index"]) == sorted(said) and len(said) == len(order)
    for n in (0, 7, len(order) - 1):
        row, these = int(told["index"][n]), slice(*told["begin"][n : n + 2])
        assert told["predicted"][n].decode() == said[row]["predicted"]
        assert told["label"][n].decode() == said[row]["label"]
        ((one,), _) = examine(task, [row])
        np.testing.assert_array_equal(told["coords"][these], one.positions[:, ::-1])
        np.testing.assert_allclose(told["weights"][these] * len(one.weight), one.weight, rtol=1e-5)
        exponential = np.exp(told["scores"][these, 0])
        np.testing.assert_allclose(told["weights"][these], exponential / exponential.sum(), rtol=1e-4)
    assert told["begin"][-1] == len(told["weights"]) == len(told["scores"])


def test_attention_of_bags_comes_with_what_is_known_of_their_elements(tmp_path: Path) -> None:
    task = after_test(Bags(batch_size=50, seed=0, test_bags=120), ATTENTIVE)
    task.report(tmp_path)
    told, split = looked_at(tmp_path), task.data.splits["test"]
    np.testing.assert_array_equal(told["element_label"], split.element_label)
    np.testing.assert_array_equal(np.diff(told["begin"]), split.lengths)
    np.testing.assert_allclose(np.add.reduceat(told["weights"], told["begin"][:-1]), 1, rtol=1e-5)


def test_a_network_that_does_not_say_what_it_looks_at_leaves_no_file(tmp_path: Path) -> None:
    after_test(Digits(batch_size=100, seed=0)).report(tmp_path)
    assert not (tmp_path / "attention.h5").exists()


def test_attention_of_another_length_is_refused() -> None:
    network, sets = ATTENTIVE(in_features=2, out_features=2), Sets(torch.rand(5, 2), torch.tensor([3, 2]))
    network.attention = lambda sets: torch.ones(len(sets))  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"AttentionPool.attention\(sets\) returns \[2\] for 5 elements"):
        element_weights(network, sets)


def test_attention_is_held_against_the_labels_of_elements() -> None:
    task = after_test(Bags(batch_size=50, seed=0, test_bags=120), ATTENTIVE)
    split, found = task.data.splits["test"], task.trainer.callback_metrics
    with torch.no_grad():
        weight = task.network.attention(task.data.make_batch(split, training=False).sets)
    share = [one * len(one) for one in weight.split(split.lengths.tolist())]
    label = split.element_label.split(split.lengths.tolist())
    by_bag = [roc_auc_score(y, w) for w, y in zip(share, label, strict=True) if 0 < y.sum() < len(y)]
    assert float(found["test/instance_auroc/by_bag"]) == pytest.approx(np.mean(by_bag), abs=1e-5)
    overall = roc_auc_score(split.element_label, torch.cat(share))
    assert float(found["test/instance_auroc/overall"]) == pytest.approx(overall, abs=1e-5)
    silent = after_test(Bags(batch_size=50, seed=0, test_bags=20))
    assert not any("instance" in name for name in silent.trainer.callback_metrics)


def test_bags_with_coordinates_are_drawn_where_their_elements_lie(tmp_path: Path) -> None:
    data = Needle(batch_size=50, seed=0, test_sets=30)
    data.setup()
    test = data.splits["test"]
    xy = torch.arange(2 * len(test.values)).view(-1, 2)
    data.splits["test"] = dataclasses.replace(test, positions=xy.flip(1))
    task = after_test(data, ATTENTIVE)
    task.report(tmp_path)
    assert "attention.png" in names(tmp_path)
    np.testing.assert_array_equal(looked_at(tmp_path)["coords"], xy)


def test_elements_of_unknown_label_do_not_count() -> None:
    known = (np.array([3.0, 1, 2]), np.array([1, 0, -1]))
    assert instance_metrics({0: known, 7: (np.array([9.0]), np.array([0]))}) == {
        "instance_auroc/by_bag": 1.0,
        "instance_auroc/overall": 0.5,
    }
    assert instance_metrics({0: (np.ones(2), np.zeros(2))}) == {} == instance_metrics({})

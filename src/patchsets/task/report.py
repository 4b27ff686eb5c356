"""What a tested task leaves to look at: predictions.csv and figures/*.png in its run folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from patchsets.task.attention_file import has_attention, write_attention
from patchsets.task.examination import (
    METHOD,
    Judged,
    confident_mistakes,
    correct_by_patches,
    data_have_patches,
    examine,
    targets_of,
    typical_examples,
)
from patchsets.task.metrics import of_labels
from workbench.common.files import appearing_whole
from workbench.portable.pixels import pixel_weights
from workbench.run.metrics_file import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from patchsets.figures import Example, Places
    from workbench.train.base import RunTask

SHOWN_EXAMPLES = 8
SHOWN_MISTAKES = 16


def write_report(task: RunTask, judged: Judged, folder: Path) -> None:
    """Write the predictions and figures of a tested task into its run folder."""
    file_name = getattr(task.data, "file_name", None)
    files = None if file_name is None else [file_name("test", row) for row in judged.index.tolist()]
    columns = answers(task, judged)
    write_predictions(folder / "predictions.csv", judged, columns, files)
    (folder / "figures").mkdir(exist_ok=True)
    with _undisturbed(task):
        if has_attention(task):
            told = {name: column for name, column in columns.items() if not name.startswith("probability")}
            told |= {} if files is None else {"file": files}
            write_attention(task, judged, told, folder / "attention.h5")
        for name, figure in _figures(task, judged, folder):
            with appearing_whole(folder / "figures" / f"{name}.png") as path:
                figure.savefig(path, format="png")


def classes_of(task: RunTask, judged: Judged) -> Sequence[str]:
    """Return the classes that labels `[N]` are of; none where an example has several labels, or numbers."""
    return task.data.classes if judged.label.dim() == 1 else []


def has_labels(task: RunTask, judged: Judged) -> bool:
    """Tell whether each example has several labels, of the data's classes, answered by logits."""
    return bool(task.data.classes) and judged.label.dim() == 2 and judged.label.shape == judged.output.shape


def answers(task: RunTask, judged: Judged) -> dict[str, Sequence[Any]]:
    """Return the columns of the predictions: what is true, what was said, and how sure that is."""
    output, label, names = judged.output, judged.label, task.data.classes
    if classes_of(task, judged):
        said: Sequence[Sequence[str]] = [
            [names[c] for c in part.tolist()] for part in (label, output.argmax(1))
        ]
        return {"label": said[0], "predicted": said[1]} | _probabilities(output.softmax(1), names)
    if has_labels(task, judged):
        said = [
            [";".join(name for name, has in zip(names, row, strict=True) if has) for row in part.tolist()]
            for part in (label > 0.5, output > 0)
        ]
        return {"label": said[0], "predicted": said[1]} | _probabilities(output.sigmoid(), names)
    if label.dim() == 1 or label.shape != output.shape:
        return {"label": label.tolist(), "predicted": output.squeeze(1).tolist()}
    targets = targets_of(task.data, label.shape[1])
    parts = {"label": label, "predicted": output}
    return {
        f"{what} {name}": part[:, k].tolist()
        for k, name in enumerate(targets)
        for what, part in parts.items()
    }


def _probabilities(probability_NC: torch.Tensor, names: Sequence[str]) -> dict[str, Sequence[str]]:
    columns = zip(names, probability_NC.T.tolist(), strict=True)
    return {f"probability of {name}": [f"{p:.6g}" for p in column] for name, column in columns}


def write_predictions(
    path: Path, judged: Judged, columns: Mapping[str, Sequence[Any]], files: Sequence[str] | None = None
) -> None:
    """Write one line per test example: its row in the split, its file where it has one, and the columns."""
    table: dict[str, Sequence[Any]] = {"index": judged.index.tolist()}
    table |= {} if files is None else {"file": files}
    table |= columns
    with appearing_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


@contextmanager
def _undisturbed(task: RunTask) -> Iterator[None]:
    """Let the network work where it was trained; give mode, device and random numbers back as they were."""
    was_training, came_from = task.training, task.device
    device = task.trainer.strategy.root_device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(task.seed)
        task.to(device).eval()
        yield
        task.to(came_from).train(was_training)


def _figures(task: RunTask, judged: Judged, folder: Path) -> Iterator[tuple[str, Figure]]:
    """Give the figures that the data have something for, by name."""
    from patchsets import figures

    classes = classes_of(task, judged)
    rows = read_metrics(folder)
    if any(row.name.startswith("val/") for row in rows):
        yield "learning_curves", figures.learning_curves(rows, *task.goal())
    if not classes:
        yield from _figures_of_several(task, judged)
        return
    yield "confusion_matrix", figures.confusion_matrix(count_confusions(judged, len(classes)), classes)
    if len(classes) == 2 and len(judged.label.unique()) == 2:
        yield "roc", _roc(task, judged)
    if task.data.image("test", int(judged.index[0])) is not None:
        mistakes = _examples(task, judged, confident_mistakes(judged)[:SHOWN_MISTAKES])
        yield "confident_mistakes", figures.confident_mistakes(mistakes, classes, len(judged.label))
    if data_have_patches(task):
        chance = judged.label.bincount().max().item() / len(judged.label)
        yield "accuracy_by_patches", figures.accuracy_by_patches(correct_by_patches(task, judged), chance)
        yield "attention", _patch_attention(task, judged)
    elif hasattr(task.data, "element_shape"):
        yield "attention", _bag_attention(task, judged)
    elif has_attention(task) and (bags := _places(judged, folder / "attention.h5")):
        yield "attention", figures.attention_map(bags, classes, METHOD)


def _figures_of_several(task: RunTask, judged: Judged) -> Iterator[tuple[str, Figure]]:
    """Give the figure of several labels, or of one or several numbers."""
    from patchsets import figures

    output, label = judged.output, judged.label
    if has_labels(task, judged):
        names = task.data.classes
        scores = {}
        for title, name in {"AUROC": "auroc_per_class", "F1": "f1_per_class"}.items():
            value = of_labels(name, output, label, names)
            scores[title] = [value.get(f"{name}/{one}", float("nan")) for one in names]
        yield "labels", figures.label_scores(scores, label.float().mean(0).numpy(), names)
    elif output.shape == (label if label.dim() == 2 else label[:, None]).shape:
        label_NK = label.reshape(output.shape).float()
        yield (
            "predicted_numbers",
            figures.predicted_numbers(
                output.numpy(), label_NK.numpy(), targets_of(task.data, output.shape[1])
            ),
        )


def count_confusions(judged: Judged, num_classes: int) -> np.ndarray:
    """Count test examples by true and predicted class `[C, C]`."""
    pair_N = judged.label * num_classes + judged.output.argmax(dim=1)
    return pair_N.bincount(minlength=num_classes**2).reshape(num_classes, num_classes).numpy()


def _examples(task: RunTask, judged: Judged, chosen: Sequence[int]) -> list[Example]:
    from patchsets.figures import Example

    probability, predicted = judged.output[chosen].softmax(dim=1).max(dim=1)
    images = [task.data.image("test", row) for row in judged.index[chosen].tolist()]
    answers = zip(
        images, judged.label[chosen].tolist(), predicted.tolist(), probability.tolist(), strict=True
    )
    return [Example(image, *answer) for image, *answer in answers if image is not None]


def _patch_attention(task: RunTask, judged: Judged) -> Figure:
    from patchsets import figures

    chosen = typical_examples(judged, SHOWN_EXAMPLES)
    sets, method = examine(task, judged.index[chosen].tolist())
    examples = _examples(task, judged, chosen)
    patch_size: int = task.data.patch_size  # type: ignore[attr-defined]  # of data with patches
    weights = [
        pixel_weights(example.image.shape[:2], one.weight, one.positions, patch_size)
        for example, one in zip(examples, sets, strict=True)
    ]
    return figures.attention(examples, weights, task.data.classes, method)


def _bag_attention(task: RunTask, judged: Judged) -> Figure:
    """Draw bags whose elements are images themselves, flattened; `element_shape` is that of each."""
    from patchsets import figures

    chosen = typical_examples(judged, SHOWN_EXAMPLES)
    sets, method = examine(task, judged.index[chosen].tolist())
    shape: tuple[int, int] = task.data.element_shape  # type: ignore[attr-defined]
    answers = zip(judged.label[chosen].tolist(), judged.output[chosen].argmax(dim=1).tolist(), strict=True)
    bags = [
        figures.Bag(one.values.reshape(-1, *shape), one.weight, one.element_label, *answer)
        for one, answer in zip(sets, answers, strict=True)
    ]
    return figures.bag_attention(bags, task.data.classes, method)


def _places(judged: Judged, path: Path) -> list[Places]:
    """Return some bags with the coordinates of their elements; none where there are no coordinates."""
    import h5py

    from patchsets.figures import Places

    chosen = typical_examples(judged, SHOWN_EXAMPLES)
    answers = zip(judged.label[chosen].tolist(), judged.output[chosen].argmax(dim=1).tolist(), strict=True)
    with h5py.File(path) as file:
        if "coords" not in file:
            return []
        place = {row: n for n, row in enumerate(file["index"][:].tolist())}
        found = []
        for row, answer in zip(judged.index[chosen].tolist(), answers, strict=True):
            first, end = file["begin"][place[row] : place[row] + 2]
            known = file["element_label"][first:end] if "element_label" in file else None
            share = file["weights"][first:end] * (end - first)
            found.append(Places(file["coords"][first:end], share, known, *answer))
    return found


def _roc(task: RunTask, judged: Judged) -> Figure:
    """Draw the network's ROC curve, and beside it the best there can be where the data know it."""
    from patchsets import figures

    scores = {"network": (judged.output[:, 1] - judged.output[:, 0]).numpy()}
    if hasattr(task.data, "log_likelihood_ratio"):
        scores["best possible"] = task.data.log_likelihood_ratio("test")[judged.index.numpy()]
    return figures.roc(scores, judged.label.numpy() == 1)

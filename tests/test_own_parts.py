"""What a researcher changes from a file of his own, or by words: losses, metrics, schedules, augmentation."""

import csv
from pathlib import Path

import pytest
import torch
from in_process import start
from PIL import Image
from whole_command import QUICK, the_run

from patchsets.data.digits import Digits
from patchsets.data.folder import Folder
from patchsets.task.classification import Classification
from workbench.common.errors import ConfigError

OWN = """
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from patchsets.set_module import Sets
from patchsets.set_module.segment import segment_mean


def flip(images: Tensor) -> Tensor:
    return images.flip(-1)


def darken(images: Tensor) -> Tensor:
    return images * torch.rand(len(images), 1, 1, 1)


class Counter(Callback):
    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_batch_end(self, *_: object) -> None:
        with open(self.path, "a") as file:
            file.write(".")


class Signs(torch.optim.Optimizer):
    def __init__(self, params: object, lr: float, weight_decay: float = 0.0, power: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "power": power})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * group["power"] * parameter.grad.sign()
        return loss


def hinge(logits: Tensor, label: Tensor) -> Tensor:
    return torch.nn.functional.multi_margin_loss(logits, label)


def square_root(step: int, steps: int, start: float = 1.0) -> float:
    return start / (step + 1) ** 0.5


class ByPlace(torch.nn.Module):
    def __init__(self, patch_shape: tuple[int, int, int], out_features: int, **named: object) -> None:
        super().__init__()
        self.given = patch_shape, named
        self.classify = torch.nn.Linear(2, out_features)

    def forward(self, sets: Sets) -> Tensor:
        assert sets.values.shape[1:] == self.given[0] and sets.places.abs().max() == 1
        brightest = sets.with_values(sets.values.mean(dim=(1, 2, 3), keepdim=True).flatten(1) * sets.places)
        return self.classify(segment_mean(brightest))


def wrong(logits: Tensor, label: Tensor) -> Tensor:
    return (logits.argmax(dim=1) != label).float().mean()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "trusted_targets=[own_parts.]"


def values(outputs: Path, name: str) -> list[float]:
    """Return what the newest run logged under a name."""
    with (the_run(outputs) / "metrics.csv").open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == name]


def run(outputs: Path, *words: str) -> dict[str, float]:
    few = ["+trainer.limit_train_batches=6", "trainer.log_every_n_steps=1"]
    return start(*QUICK, *few, "loggers=[]", f"outputs={outputs}", *words)


def test_a_schedule_of_ones_own_and_one_of_torch(own: str, outputs: Path) -> None:
    mine = "+schedules.mine={_target_: own_parts.square_root, start: 0.5}"
    run(outputs, own, mine, "hparams.schedule=mine", "hparams.learning_rate=0.01")
    rates = values(outputs, "learning_rate")
    assert rates[:3] == pytest.approx([0.01 * 0.5 / step**0.5 for step in (1, 2, 3)])
    step = "+schedules.steps={_target_: torch.optim.lr_scheduler.StepLR, step_size: 4, gamma: 0.1}"
    run(outputs, step, "hparams.schedule=steps", "hparams.learning_rate=0.01")
    assert values(outputs, "learning_rate")[:5] == pytest.approx([0.01] * 4 + [0.001])


def test_a_rate_that_warms_up(outputs: Path) -> None:
    run(outputs, "hparams.warmup_steps=4", "hparams.schedule=null", "hparams.learning_rate=0.01")
    rates = values(outputs, "learning_rate")
    assert rates[0] < rates[1] < rates[3] < rates[5] == pytest.approx(0.01)
    with pytest.raises(ConfigError, match=r"hparams.warmup_steps: 5000 are not fewer than the run's"):
        run(outputs, "hparams.warmup_steps=5000")


def test_a_part_learns_more_slowly_or_not_at_all(outputs: Path) -> None:
    start(*QUICK, "loggers=[]", f"outputs={outputs}", "+task.learning_rates={encode: 0, pool: 0.1}")
    last = torch.load(the_run(outputs) / "checkpoints/last.ckpt", weights_only=True)
    groups = last["optimizer_states"][0]["param_groups"]
    assert sorted(group["initial_lr"] for group in groups) == pytest.approx([0.0002, 0.002])


def test_metrics_and_the_monitor_of_ones_choice(own: str, outputs: Path) -> None:
    f1 = "{_target_: torchmetrics.classification.MulticlassF1Score, num_classes: 10}"
    wrong = "{_target_: own_parts.wrong, _partial_: true}"
    words = [
        f"+task.metrics={{f1: {f1}, wrong: {wrong}}}",
        "+task.monitor=val/wrong",
        "+task.monitor_mode=min",
    ]
    metrics = run(outputs, own, *words)
    assert metrics["test/wrong"] == pytest.approx(1 - metrics["test/accuracy"])
    assert 0 < metrics["test/f1"] < 1
    best = torch.load(the_run(outputs) / "checkpoints/best.ckpt", weights_only=True)
    wrongs = values(outputs, "val/wrong")
    assert best["epoch"] == wrongs.index(min(wrongs))


def test_the_best_epoch_by_accuracy(outputs: Path) -> None:
    run(outputs, "hparams.max_epochs=4", "+task.monitor=val/accuracy", "+task.monitor_mode=max")
    best = torch.load(the_run(outputs) / "checkpoints/best.ckpt", weights_only=True)
    accuracies = values(outputs, "val/accuracy")
    assert best["epoch"] == accuracies.index(max(accuracies))


def test_a_callback_and_an_optimizer_of_ones_own(own: str, outputs: Path, tmp_path: Path) -> None:
    callback = f"+trainer.callbacks=[{{_target_: own_parts.Counter, path: {tmp_path}/steps}}]"
    signs = "+optimizers.Signs={_target_: own_parts.Signs, power: 0.5}"
    run(outputs, own, callback, signs, "hparams.optimizer=Signs", "hparams.learning_rate=0.001")
    steps = values(outputs, "train/loss_step") or values(outputs, "learning_rate")
    assert len((tmp_path / "steps").read_text()) == len(steps) > 0
    last = torch.load(the_run(outputs) / "checkpoints/last.ckpt", weights_only=True)
    assert last["optimizer_states"][0]["param_groups"][0]["power"] == 0.5


def test_a_network_of_ones_own_takes_patches_and_their_places(own: str, outputs: Path) -> None:
    metrics = run(outputs, own, "model._target_=own_parts.ByPlace")
    assert "test/loss" in metrics and (the_run(outputs) / "figures" / "attention.png").is_file()


def test_augmentation_is_drawn_by_the_seed(own: str, outputs: Path) -> None:
    darker = "+data.augment={_target_: own_parts.darken, _partial_: true}"
    first, same, other = (run(outputs, own, darker, f"seed={seed}")["test/loss"] for seed in (0, 0, 1))
    assert first == same != other


def test_validation_tells_the_plain_loss_and_a_class_may_have_no_example() -> None:
    data = Digits(8, 0)
    data.setup()
    part = data.splits["train"]
    data.splits["train"] = part.take(torch.nonzero(part.label != 3).squeeze(1))
    settings = {"learning_rate": 0.1}
    task = Classification(data, None, settings, {}, 0, label_smoothing=0.5, class_weights="balanced")
    task.preprocessing_train()
    logits, label = torch.randn(20, 10), torch.randint(10, (20,))
    plain = torch.nn.functional.cross_entropy(logits, label)
    assert task.judge(logits, label)["loss"] == pytest.approx(plain.item())
    assert task.weight_C is not None and torch.isfinite(task.weight_C).all()


def test_a_loss_of_ones_own_smoothing_and_weights(own: str, outputs: Path) -> None:
    plain = run(outputs)
    smoothed = run(outputs, "+task.label_smoothing=0.3", "+task.class_weights=balanced")
    hinge = run(outputs, own, "+task.loss={_target_: own_parts.hinge, _partial_: true}")
    assert len({plain["test/loss"], smoothed["test/loss"], hinge["test/loss"]}) == 3
    with pytest.raises(ConfigError, match=r"task.class_weights: 2 numbers for 10 classes"):
        run(outputs, "+task.class_weights=[1,2]")


def test_whole_images_are_augmented_in_training_alone(own: str, outputs: Path, tmp_path: Path) -> None:
    run(outputs, own, "+data.augment={_target_: own_parts.flip, _partial_: true}")
    data = Digits(8, 0, patch_size=None, augment=lambda images: images.flip(-1))
    data.setup()
    raw = next(iter(data.train_dataloader()))
    shown = data.make_batch(raw, training=False).input
    assert torch.equal(data.make_batch(raw, training=True).input, shown.flip(-1))
    random = torch.Generator().manual_seed(0)
    for number in range(12):
        pixels = torch.randint(0, 256, (8, 8 + number), dtype=torch.uint8, generator=random).numpy()
        (tmp_path / "images" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / "ab"[number % 2] / f"{number}.png")
    ragged = Folder(4, 0, str(tmp_path / "images"), patch_size=4, stride=4, augment=lambda images: 1 - images)
    ragged.setup()
    raw = next(iter(ragged.train_dataloader()))
    inverse = ragged.make_batch(raw, training=True).sets.values
    plain = ragged.make_batch(raw, training=False).sets.values
    assert torch.allclose(inverse[:, :16] + plain[:, :16], torch.ones(1), atol=1e-6)

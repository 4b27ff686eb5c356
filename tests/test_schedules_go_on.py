"""A resumed run goes by the optimizer and schedule that its configuration names now, at the step it is at."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from workbench.train.base import RunTask
from workbench.train.callbacks import BestAndLast
from workbench.train.loading import BatchedRows, loader

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # Lightning's
BATCHES = 4  # of an epoch
ASKED = {"optimizer": "AdamW", "learning_rate": 0.1, "weight_decay": 0.0, "schedule": "cosine"}


class Counting(torch.optim.AdamW):
    """An optimizer that counts for itself in its groups, as some do that need no schedule."""

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.defaults["seen"] = 0
        for group in self.param_groups:
            group["seen"] = 0

    def step(self, closure: Any = None) -> Any:
        self.param_groups[0]["seen"] += 1
        return super().step(closure)


TABLE = {"Counting": {"_target_": f"{__name__}.Counting"}}
SCHEDULES = {
    "falling": {"_target_": "torch.optim.lr_scheduler.LinearLR", "end_factor": 0.5, "total_iters": 10}
}


class Line(RunTask):
    """Learns a line; keeps the rate of each step."""

    def __init__(self, batches: int = BATCHES, **asked: Any) -> None:
        super().__init__(
            data=None,  # type: ignore[arg-type]
            network=lambda: nn.Linear(1, 1),
            settings=ASKED | asked,
            optimizers=TABLE,
            schedules=SCHEDULES,
            seed=0,
        )
        self.rates: list[float] = []
        self.batches = batches

    def fetch_data(self) -> None: ...

    def preprocessing_train(self) -> None: ...

    def network_arguments(self) -> dict[str, Any]:
        return {}

    def train_dataloader(self) -> Any:
        return loader(BatchedRows(self.batches, lambda rows: rows.float()[:, None]), 1, 0, None)

    def val_dataloader(self) -> list[Any]:
        return []

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return (self.network(batch) - 1).square().mean()


def fit(folder: Path, task: RunTask, resumed: bool = False, *callbacks: Callback, **limits: Any) -> Optimizer:
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[*callbacks, BestAndLast(folder, "val/loss", "min")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **limits,
    )
    trainer.fit(task, ckpt_path=folder / "last.ckpt" if resumed else None, weights_only=True)
    return trainer.optimizers[0]


CASES = {
    "cosine": ASKED,
    "one_cycle": {"schedule": "one_cycle"},
    "no schedule": {"schedule": None},
    "warm cosine": {"warmup_steps": 3},
    "warm": {"warmup_steps": 3, "schedule": None},
    "a class of the table": {"schedule": "falling"},
}


@pytest.mark.parametrize("name", CASES)
def test_a_prolonged_run_goes_by_the_schedule_of_its_new_length(tmp_path: Path, name: str) -> None:
    fit(tmp_path, Line(**CASES[name]), max_epochs=2)
    prolonged, whole = Line(**CASES[name]), Line(**CASES[name])
    fit(tmp_path, prolonged, resumed=True, max_epochs=4)
    fit(tmp_path, whole, max_epochs=4)
    assert prolonged.rates == whole.rates[2 * BATCHES :]
    if name == "cosine":
        assert prolonged.rates == sorted(prolonged.rates, reverse=True)


@pytest.mark.parametrize("before", CASES)
@pytest.mark.parametrize("after", ["cosine", "one_cycle", "no schedule", "warm"])
def test_another_schedule_begins_where_the_run_stands(tmp_path: Path, before: str, after: str) -> None:
    fit(tmp_path, Line(**CASES[before]), max_epochs=2)
    changed, whole = Line(**CASES[after]), Line(**CASES[after])
    ended = fit(tmp_path, changed, resumed=True, max_epochs=3)
    undisturbed = fit(tmp_path, whole, max_epochs=3)
    assert changed.rates == whole.rates[2 * BATCHES :]
    assert ended.param_groups[0]["betas"] == undisturbed.param_groups[0]["betas"]  # which one_cycle moves


def test_words_of_the_optimizer_count_from_the_next_step_on(tmp_path: Path) -> None:
    fit(tmp_path, Line(schedule=None, optimizer="Counting"), max_epochs=2)
    changed = Line(schedule=None, optimizer="Counting", learning_rate=0.01, weight_decay=0.5)
    optimizer = fit(tmp_path, changed, resumed=True, max_epochs=3)
    assert changed.rates == [0.01] * BATCHES
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert optimizer.param_groups[0]["seen"] == 3 * BATCHES  # what it counts is no word of the configuration


def test_the_schedule_ends_with_the_run_whatever_its_batches_are(tmp_path: Path) -> None:
    fit(tmp_path, Line(), max_epochs=2)
    changed, whole = Line(batches=7), Line(batches=7)
    fit(tmp_path, changed, resumed=True, max_epochs=3, accumulate_grad_batches=2)
    fit(tmp_path, whole, max_epochs=3, accumulate_grad_batches=2)
    assert changed.rates == whole.rates[2 * 7 :]


def test_steps_that_end_a_run_end_its_schedule(tmp_path: Path) -> None:
    fit(tmp_path, Line(), max_epochs=9, max_steps=6)
    changed, whole = Line(), Line()
    fit(tmp_path, changed, resumed=True, max_epochs=9, max_steps=14)
    fit(tmp_path, whole, max_epochs=9, max_steps=14)
    assert changed.rates == whole.rates[6:]


class ByTurns(Line):
    """A task with two optimizers, each with a schedule, which it steps itself."""

    automatic_optimization = False

    def configure_optimizers(self) -> Any:
        optimizers = [self.make_optimizer([{"params": [each]}]) for each in self.network.parameters()]
        return optimizers, [self.make_schedule(optimizer) for optimizer in optimizers]

    def training_step(self, batch: Tensor, batch_index: int) -> None:  # type: ignore[override]
        loss = super().training_step(batch, batch_index)
        optimizers: Any = self.optimizers()
        schedules: Any = self.lr_schedulers()
        self.manual_backward(loss)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()


def test_several_optimizers_go_by_the_new_length(tmp_path: Path) -> None:
    fit(tmp_path, ByTurns(), max_epochs=2)
    prolonged, whole = ByTurns(), ByTurns()
    fit(tmp_path, prolonged, resumed=True, max_epochs=4)
    fit(tmp_path, whole, max_epochs=4)
    assert prolonged.rates == whole.rates[2 * BATCHES :]
    rates = [[made.param_groups[0]["lr"] for made in task.trainer.optimizers] for task in (prolonged, whole)]
    assert rates[0] == rates[1]


class OwnSchedule(Line):
    """A task with a schedule of its own, which a checkpoint keeps."""

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameter_groups())
        return [optimizer], [{"scheduler": ExponentialLR(optimizer, 0.5), "interval": "epoch"}]


def test_a_schedule_of_a_task_s_own_goes_on_in_proportion_to_the_new_rate(tmp_path: Path) -> None:
    fit(tmp_path, OwnSchedule(), max_epochs=2)
    same, lower = OwnSchedule(), OwnSchedule(learning_rate=0.01)
    fit(tmp_path, same, resumed=True, max_epochs=3)
    assert same.rates == [0.1 / 4] * BATCHES
    fit(tmp_path, OwnSchedule(), max_epochs=2)
    fit(tmp_path, lower, resumed=True, max_epochs=4)
    assert lower.rates == pytest.approx([0.01 / 4] * BATCHES + [0.01 / 8] * BATCHES)

"""The training loop one would write without any library: the yardstick of training.py."""

import time
from pathlib import Path

import torch
from omegaconf import DictConfig

from patchsets.task.anomaly import AnomalyTask
from patchsets.task.task import Task
from workbench.config.optimizers import make_optimizer, make_schedule


def train_bare(task: Task, config: DictConfig, outputs: Path) -> tuple[float, int]:
    """Train a task's network on its data with its loss; return the CPU seconds and the number of steps."""
    hparams, data = config.hparams, task.data
    task.preprocessing_train()
    task.configure_model()
    loader, validation = data.train_dataloader(), data.val_dataloader()
    table = config.optimizers
    optimizer = make_optimizer(task.parameter_groups(), hparams, table)
    steps = hparams.max_epochs * len(loader)
    schedule = make_schedule(optimizer, steps, hparams, config.schedules)
    begun = time.process_time()
    for epoch in range(hparams.max_epochs):
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        task.train()
        for raw in loader:
            loss = task.training_values(data.make_batch(raw, training=True))["loss"]
            optimizer.zero_grad()
            loss.backward()
            if hparams.gradient_clip:
                torch.nn.utils.clip_grad_norm_(task.parameters(), hparams.gradient_clip)
            optimizer.step()
            if schedule:
                schedule.step()
        _judge(task, validation)
        torch.save({"network": task.state_dict(), "optimizer": optimizer.state_dict()}, outputs / "bare.ckpt")
    return time.process_time() - begun, steps


@torch.no_grad()
def _judge(task: Task, validation: torch.utils.data.DataLoader) -> None:
    task.eval()
    batches = [task.data.make_batch(raw, training=False) for raw in validation]
    if isinstance(task, AnomalyTask):
        sum(task.validation_values(batch)["loss"] * len(batch.label) for batch in batches)
    elif batches:
        output = torch.cat([task.network(batch.sets) for batch in batches])
        task.judge(output, torch.cat([batch.label for batch in batches]))

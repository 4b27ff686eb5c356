"""The part of an experiment that needs torch: build what a configuration names, train, test, tell."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from workbench.common.errors import ConfigError, DataError, RankFailed, UserError
from workbench.config.build import build, build_later, leave_out_weights
from workbench.config.checks import GIVEN
from workbench.config.compatibility import hand_on
from workbench.distributed.process_group import together
from workbench.run.checkpoints import last_checkpoint, load_weights, read_checkpoint
from workbench.run.folder import find_folder, weights_file
from workbench.run.log import quieten
from workbench.run.trial import trial_folder
from workbench.train.base import RunTask
from workbench.train.loading import workers_told
from workbench.train.resume import check_checkpoint
from workbench.train.trainer import build_trainer, check_pairing, lightning_told

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What is made of a configuration before its run folder exists."""

    task: RunTask
    trainer: lightning.Trainer
    checkpoint: Path | None  # from which the run goes on


def build_parts(config: DictConfig, folder: Path) -> Parts:
    """Build data, task and trainer for a run in `folder`, which need not exist; nothing is written.

    Raises ConfigError, or UserError for a checkpoint that is damaged.
    """
    quieten()  # again: Lightning, whose import may have come later, speaks up by itself
    if config.debug:
        config = for_debugging(config)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    checkpoint = last_checkpoint(Path(config.resume) if config.resume else folder)
    source = checkpoint
    if config.init_from and checkpoint is None:
        source = weights_file(find_folder(config.init_from, "init_from"))
    if source is not None:
        config = config.copy()
        leave_out_weights(config.model)
    task = build_task(config)
    task.read_pretrained(None if source is None else read_checkpoint(source).get("network_arguments"))
    if source is not None and checkpoint is None:
        task.initial_weights = load_weights(source.parent.parent)
    trainer = build_trainer(config, task, folder)
    check_pairing(task, trainer)
    if config.debug and checkpoint:  # one batch more than the run has done
        kept = read_checkpoint(checkpoint)
        trainer.fit_loop.max_epochs = kept["epoch"] + 2
        trainer.fit_loop.epoch_loop.max_steps = kept["global_step"] + 1
    return Parts(task, trainer, checkpoint)


def check_parts(parts: Parts, words: Sequence[str] = ()) -> None:
    """Try what can be tried before anything is written: the data's files, and the checkpoint of a resume.

    Raises ConfigError, with the words typed, where a run cannot go on from its checkpoint.
    """
    try:
        getattr(parts.task.data, "find_files", lambda: None)()
    except DataError as error:
        raise ConfigError(str(error)) from error
    rows = getattr(parts.task.data, "rows", None)  # of data of files, by split
    if rows is not None and "val" not in rows and parts.trainer.limit_val_batches != 0:
        parts.task.do_without_validation()
    if parts.checkpoint is not None:
        check_checkpoint(parts.task, parts.trainer, parts.checkpoint, words)


def train(
    parts: Parts, config: DictConfig, folder: Path, give_up: Callable[[RankFailed], None] = lambda _: None
) -> dict[str, float]:
    """Train and test in the run folder, as one of its ranks, and return the test metrics.

    `give_up` ends the process where another rank failed and this one waits for it for ever.
    """
    task, trainer = parts.task, parts.trainer
    with together(trainer, folder, give_up), workers_told(), memory_told(config), lightning_told(UserError):
        return task.run(trainer, resume_from=parts.checkpoint)


TO_LOWER = ("batch_size", "image_size", "patches", "width", "depth")  # what memory grows with


@contextmanager
def memory_told(config: DictConfig) -> Iterator[None]:
    """Turn a lack of memory, on the GPU or beside it, into a line with the words to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not (is_on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error)):
            raise
        lower = {key: str(config.hparams[key]) for key in TO_LOWER if config.hparams.get(key)}
        words = [f"hparams.{key}={value.replace(' ', '')}" for key, value in lower.items()]
        where = "the GPU" if is_on_gpu else "the machine"
        raise UserError(f"the memory of {where} is full; lower {' or '.join(words)}") from error


def save_model(parts: Parts, config: DictConfig, folder: Path) -> str:
    """Write `<run folder>/model/` where the run shall have one; return why that failed, or nothing."""
    if not saves_model(config):
        return ""
    from workbench.train.export import deploy

    return deploy(parts.task, folder)


def saves_model(config: DictConfig) -> bool:
    """Tell whether the run ends with its model ready for use: by default all but trials of a sweep do."""
    if config.debug or config.save_model is not None:
        return bool(config.save_model) and not config.debug
    return trial_folder() is None


def for_debugging(config: DictConfig) -> DictConfig:
    """Return it for a run that a debugger can follow: one batch, one process, nothing kept or tracked."""
    config = config.copy()
    with open_dict(config):
        few = config.trainer.get("fast_dev_run") or True  # or as many batches as were asked for
        config.trainer.update(fast_dev_run=few, devices=1, num_nodes=1, strategy="auto")
        if "num_workers" in config.data:
            config.data.num_workers = 0
    log.info("debug: one batch of each split, one device, no workers, no logger, no checkpoint")
    return config


def build_task(config: DictConfig) -> RunTask:
    """Build the data, the network's maker and the task that holds both."""
    config = hand_on(config)
    trusted = list(config.trusted_targets)
    return build(
        config.task,
        "task",
        trusted,
        data=build(config.data, "data", trusted),
        network=build_later(config.model, "model", trusted, given=GIVEN["model"]),
        settings=OmegaConf.to_container(config.hparams, resolve=True),
        optimizers=OmegaConf.to_container(config.optimizers, resolve=True),
        schedules=OmegaConf.to_container(config.schedules, resolve=True),
        seed=config.seed,
    )

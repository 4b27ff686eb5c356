"""Every argument of Lightning's Trainer, and every callback it ships: obeyed, or refused with the reason.

Both tables are held against the installed Lightning: what a new one adds fails here until it is classified.
"""

import copy
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import start
from omegaconf import DictConfig
from pytorch_lightning import Trainer, callbacks
from pytorch_lightning.profilers import SimpleProfiler
from whole_command import TINY, Train, the_run

from workbench.common.errors import ConfigError
from workbench.config.checks import check_config
from workbench.run.metrics_file import read_metrics
from workbench.train.training import Parts, build_parts

Obeyed = tuple[str, Callable[[Trainer], Any], Any]  # a word, where the trainer has it, what is there
Refused = tuple[str, str]  # a word, and a part of the reason
MIXED = "{_target_: pytorch_lightning.plugins.MixedPrecision, precision: bf16-mixed, device: cpu}"

TRAINER: dict[str, Obeyed | Refused | str] = {
    "accelerator": ("trainer.accelerator=cpu", lambda t: type(t.accelerator).__name__, "CPUAccelerator"),
    "strategy": ("+trainer.strategy=ddp trainer.accelerator=cpu", lambda t: type(t.strategy).__name__,
                 "DDPStrategy"),
    "devices": ("trainer.devices=2 trainer.accelerator=cpu", lambda t: t.num_devices, 2),
    "num_nodes": ("+trainer.num_nodes=2 +trainer.strategy=ddp trainer.accelerator=cpu",
                  lambda t: t.num_nodes, 2),
    "precision": ("trainer.precision=bf16-mixed", lambda t: t.precision, "bf16-mixed"),
    "logger": ("+trainer.logger={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: x}",
               "that loggers= names"),
    "callbacks": "test_callbacks_are_obeyed",
    "fast_dev_run": ("+trainer.fast_dev_run=true", "write debug=True"),
    "max_epochs": ("trainer.max_epochs=7", lambda t: t.max_epochs, 7),
    "min_epochs": ("+trainer.min_epochs=2", lambda t: t.min_epochs, 2),
    "max_steps": ("+trainer.max_steps=5", lambda t: t.max_steps, 5),
    "min_steps": ("+trainer.min_steps=5", lambda t: t.min_steps, 5),
    "max_time": ("+trainer.max_time={hours: 1}", lambda t: _timer(t).time_remaining(), 3600.0),
    "limit_train_batches": ("+trainer.limit_train_batches=5", lambda t: t.limit_train_batches, 5),
    "limit_val_batches": ("+trainer.limit_val_batches=0.5", lambda t: t.limit_val_batches, 0.5),
    "limit_test_batches": ("+trainer.limit_test_batches=2", lambda t: t.limit_test_batches, 2),
    "limit_predict_batches": ("+trainer.limit_predict_batches=1", "a run never predicts"),
    "overfit_batches": ("+trainer.overfit_batches=1", lambda t: t.overfit_batches, 1),
    "val_check_interval": ("+trainer.val_check_interval=2", lambda t: t.val_check_interval, 2),
    "check_val_every_n_epoch": ("+trainer.check_val_every_n_epoch=2", lambda t: t.check_val_every_n_epoch, 2),
    "num_sanity_val_steps": ("+trainer.num_sanity_val_steps=2", "debug=True tries every split"),
    "log_every_n_steps": ("trainer.log_every_n_steps=4", lambda t: t.log_every_n_steps, 4),
    "enable_checkpointing": ("+trainer.enable_checkpointing=false", "debug=True keeps neither"),
    "enable_progress_bar": ("+trainer.enable_progress_bar=false", lambda t: t.progress_bar_callback, None),
    "enable_model_summary": ("+trainer.enable_model_summary=true", lambda t: len(_summaries(t)), 1),
    "accumulate_grad_batches": ("+trainer.accumulate_grad_batches=2", lambda t: t.accumulate_grad_batches, 2),
    "gradient_clip_val": ("hparams.gradient_clip=0.5", lambda t: t.gradient_clip_val, 0.5),
    "gradient_clip_algorithm": ("+trainer.gradient_clip_algorithm=value", lambda t: t.gradient_clip_algorithm,
                                "value"),
    "deterministic": ("+trainer.deterministic=warn",
                      lambda t: torch.is_deterministic_algorithms_warn_only_enabled(), True),
    "benchmark": ("+trainer.benchmark=true", lambda t: torch.backends.cudnn.benchmark, True),
    "inference_mode": ("+trainer.inference_mode=false", lambda t: t.test_loop.inference_mode, False),
    "use_distributed_sampler": ("+trainer.use_distributed_sampler=false", "takes its share"),
    "profiler": ("+trainer.profiler=simple", lambda t: type(t.profiler), SimpleProfiler),
    "detect_anomaly": ("+trainer.detect_anomaly=true", lambda t: t._detect_anomaly, True),
    "barebones": ("+trainer.barebones=true", "forbids checkpoints"),
    "plugins": (f"+trainer.plugins=[{MIXED}] trainer.precision=null", lambda t: t.precision, "bf16-mixed"),
    "sync_batchnorm": ("+trainer.sync_batchnorm=true +trainer.strategy=ddp trainer.accelerator=cpu",
                       lambda t: t.strategy._layer_sync is not None, True),
    "reload_dataloaders_every_n_epochs": ("+trainer.reload_dataloaders_every_n_epochs=1",
                                          lambda t: t.reload_dataloaders_every_n_epochs, 1),
    "default_root_dir": ("+trainer.default_root_dir=x", "outputs=<folder>"),
    "enable_autolog_hparams": ("+trainer.enable_autolog_hparams=false", "every hyper-parameter"),
    "model_registry": ("+trainer.model_registry=x/y", "src/register.py"),
}  # fmt: skip

MORE_REFUSED = {
    "trainer.precision=16-true": "16-mixed computes in fewer bits",
    "trainer.precision=bf16-true": "bf16-mixed computes in fewer bits",
    "trainer.precision=64-true": "leave it at auto",
    "trainer.precision=64": "leave it at auto",
    "trainer.precision=transformer-engine": "bf16-mixed computes in fewer bits",
    "+trainer.plugins=[{_target_: pytorch_lightning.plugins.DoublePrecision}] trainer.precision=null": "auto",
    "trainer.max_epochs=0": "a run trains",
    "+trainer.max_steps=0": "a run trains",
    "+trainer.limit_train_batches=0": "a run trains",
    "+trainer.limit_test_batches=0": "1 is the shortest",
    "+trainer.limit_val_batches=0 hparams.early_stopping_patience=1": "watches validation",
    "trainer.max_epochs=-1 hparams.schedule=cosine": "the run's length",
    "+trainer.max_time=soon": "DD:HH:MM:SS",
    "+trainer.profiler=fast": "simple",
    "+trainer.gradient_clip_algorithm=median": "median",
    f"+trainer.plugins=[{MIXED}] trainer.precision=16-mixed": "precision",
}


def composed(words: str, folder: Path) -> Parts:
    """Check and build what a tiny run of these words would be, and write nothing."""
    return composed_of(*replaced(*re.split(r" (?=\+?trainer|hparams)", words)), folder=folder)


def composed_of(*words: str, folder: Path) -> Parts:
    """Check and build what a run would be."""
    found: list[DictConfig] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("in_process.run", found.append)
        start(*words, f"outputs={folder}")
    check_config(found[0])
    return build_parts(found[0], folder / "run")


def replaced(*words: str) -> list[str]:
    """Return the words of a tiny run, and these instead of its own of the same keys."""
    keys = {word.lstrip("+").partition("=")[0] for word in words}
    return [*(word for word in TINY if word.lstrip("+").partition("=")[0] not in keys), *words]


def _timer(trainer: Trainer) -> callbacks.Timer:
    return next(each for each in trainer.callbacks if isinstance(each, callbacks.Timer))


def _summaries(trainer: Trainer) -> list[callbacks.Callback]:
    return [each for each in trainer.callbacks if isinstance(each, callbacks.ModelSummary)]


def test_every_argument_of_the_trainer_is_classified() -> None:
    assert set(TRAINER) == {*inspect.signature(Trainer.__init__).parameters} - {"self"}


@pytest.fixture(autouse=True)
def torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    yield
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)


@pytest.mark.parametrize("argument", [name for name, told in TRAINER.items() if len(told) == 3])
def test_an_argument_reaches_the_trainer(argument: str, tmp_path: Path) -> None:
    words, read, wanted = TRAINER[argument]
    assert read(composed(words, tmp_path).trainer) == wanted


@pytest.mark.parametrize(
    ("words", "reason"), [*(told for told in TRAINER.values() if len(told) == 2), *MORE_REFUSED.items()]
)
def test_an_argument_is_refused_with_its_reason(words: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^trainer.*{re.escape(reason)}"):
        composed(words, tmp_path)
    assert not list(tmp_path.iterdir())


# Callbacks

C = "pytorch_lightning.callbacks."
OWN = """
from pytorch_lightning.callbacks import BaseFinetuning


class HoldsStill(BaseFinetuning):
    def freeze_before_training(self, module):
        self.freeze(module.network.encode)

    def finetune_function(self, module, epoch, optimizer):
        pass


def size(batch):
    return len(batch.label)


def tell(trainer, module):
    print("trained to the end")
"""
TOGETHER = "test_callbacks_are_obeyed"
AVERAGED = "test_averaged_weights_are_what_is_tested_and_kept"
CALLBACKS: dict[str, Refused | str] = {
    "BackboneFinetuning": (f"_target_: {C}BackboneFinetuning", "freezes a part"),
    "BaseFinetuning": TOGETHER,
    "BasePredictionWriter": (f"_target_: {C}BasePredictionWriter", "never predicts"),
    "BatchSizeFinder": (f"_target_: {C}BatchSizeFinder", "compare sizes by -m"),
    "Callback": TOGETHER,
    "Checkpoint": TOGETHER,
    "DeviceStatsMonitor": TOGETHER,
    "EMAWeightAveraging": AVERAGED,
    "EarlyStopping": "test_a_callback_stops_early",
    "GradientAccumulationScheduler": TOGETHER,
    "LambdaCallback": TOGETHER,
    "LearningRateFinder": (f"_target_: {C}LearningRateFinder", "search one by -m"),
    "LearningRateMonitor": TOGETHER,
    "ModelCheckpoint": TOGETHER,
    "ModelPruning": "test_pruned_weights_are_kept_pruned",
    "ModelSummary": TOGETHER,
    "OnExceptionCheckpoint": (f"_target_: {C}OnExceptionCheckpoint, dirpath: x", "last.ckpt is there"),
    "ProgressBar": TOGETHER,
    "RichModelSummary": (f"_target_: {C}RichModelSummary", "rich"),
    "RichProgressBar": (f"_target_: {C}RichProgressBar", "rich"),
    "SpikeDetection": (f"_target_: {C}SpikeDetection", "cannot load the state it saves"),
    "StochasticWeightAveraging": "test_stochastic_averages_are_what_is_tested_and_kept",
    "TQDMProgressBar": TOGETHER,
    "ThroughputMonitor": TOGETHER,
    "Timer": "test_what_was_asked_for_is_seen_and_kept",
    "WeightAveraging": AVERAGED,
}


def shipped() -> set[str]:
    """Return the names of the callbacks that the installed Lightning ships, exported or not."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(callbacks.__path__, f"{callbacks.__name__}.")
    ]
    kinds = [kind for module in modules for kind in vars(module).values() if inspect.isclass(kind)]
    ours = (
        kind for kind in kinds if issubclass(kind, callbacks.Callback) and not kind.__name__.startswith("_")
    )
    return {kind.__name__ for kind in ours if kind.__module__.startswith("pytorch_lightning.callbacks")}


def test_every_callback_is_classified() -> None:
    assert set(CALLBACKS) == shipped()
    assert {told for told in [*CALLBACKS.values(), *TRAINER.values()] if isinstance(told, str)} <= set(
        globals()
    )


@pytest.mark.parametrize("name", [name for name, told in CALLBACKS.items() if isinstance(told, tuple)])
def test_a_callback_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    if name.startswith("Rich") and importlib.util.find_spec("rich"):
        pytest.skip("it is installed")
    node, reason = CALLBACKS[name]
    with pytest.raises(ConfigError, match=rf"^trainer.callbacks\[0\].*{reason}"):
        composed(f"+trainer.callbacks=[{{{node}}}]", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_callbacks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "trusted_targets=[own_callbacks.]"


def listed(*nodes: str) -> str:
    return f"+trainer.callbacks=[{', '.join(f'{{_target_: {node}}}' for node in nodes)}]"


def run(outputs: Path, *words: str) -> tuple[dict[str, float], Path]:
    """Return the metrics of a run, and its folder."""
    metrics = start(*replaced(*words), f"outputs={outputs}")
    return metrics, the_run(outputs)


def read(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)


@pytest.mark.filterwarnings("ignore:.*flops_per_batch")
def test_callbacks_are_obeyed(own: str, outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nodes = [
        f"{C}Callback", f"{C}Checkpoint", f"{C}DeviceStatsMonitor", f"{C}LearningRateMonitor",
        f"{C}GradientAccumulationScheduler, scheduling: {{0: 3}}", f"{C}ModelCheckpoint", f"{C}ModelSummary",
        f"{C}TQDMProgressBar", "own_callbacks.HoldsStill",
        f"{C}LambdaCallback, on_train_end: {{_target_: own_callbacks.tell, _partial_: true}}",
        f"{C}ThroughputMonitor, batch_size_fn: {{_target_: own_callbacks.size, _partial_: true}}",
    ]  # fmt: skip
    _, folder = run(outputs, own, listed(*nodes))
    rows = {(row.name, row.axis) for row in read_metrics(folder)}
    assert {("lr-Adam", "step"), ("train/samples", "step")} <= rows
    assert any(name.startswith("DeviceStatsMonitor") and axis == "step" for name, axis in rows)
    assert read(folder, "last.ckpt")["global_step"] == 2  # three batches of each epoch to a step
    assert len(list((folder / "checkpoints" / "more").iterdir())) == 1
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "more"}
    said = capfd.readouterr()
    assert "Trainable params" in said.err and "Trainable params" in (folder / "train.log").read_text()
    assert "trained to the end" in said.out
    assert (
        "Epoch 1" in said.out + said.err and "epoch 2/2" not in said.out + said.err
    )  # one bar, the one asked for
    weights = read(folder, "last.ckpt")["state_dict"]
    _, untrained = run(outputs, "init_from=null", "trainer.max_epochs=1", "hparams.learning_rate=1e-12")
    first = read(untrained, "last.ckpt")["state_dict"]
    still = {name for name in weights if torch.allclose(weights[name], first[name], atol=1e-8)}
    assert still == {name for name in weights if name.startswith("network.encode.")}


def test_a_callback_stops_early(outputs: Path) -> None:
    node = f"{C}EarlyStopping, monitor: val/loss, stopping_threshold: 1e9"
    _, folder = run(outputs, listed(node), "hparams.max_epochs=5")
    assert {row.epoch for row in read_metrics(folder) if row.name == "val/loss"} == {0}


def test_pruned_weights_are_kept_pruned(outputs: Path) -> None:
    _, folder = run(outputs, listed(f"{C}ModelPruning, pruning_fn: l1_unstructured, amount: 0.5"))
    weights = read(folder, "best.ckpt")["state_dict"]
    values = torch.cat([value.flatten() for name, value in weights.items() if name.endswith("weight")])
    assert (values == 0).float().mean() > 0.4


@pytest.mark.parametrize("node", [f"{C}EMAWeightAveraging, decay: 0.5", f"{C}WeightAveraging"])
def test_averaged_weights_are_what_is_tested_and_kept(outputs: Path, node: str) -> None:
    metrics, folder = run(outputs, listed(node), "hparams.learning_rate=0.05")
    kept = read(folder, "best.ckpt")
    average, newest = kept["state_dict"], kept["current_model_state"]
    assert any(not torch.equal(average[name], newest[name]) for name in average)
    again, _ = run(outputs, f"init_from={folder}", "+trainer.max_time=00:00:00:00")
    assert metrics["test/loss"] == again["test/loss"]
    resumed = start(f"resume={folder}")
    assert resumed["test/loss"] == metrics["test/loss"]


def test_stochastic_averages_are_what_is_tested_and_kept(outputs: Path) -> None:
    node = f"{C}StochasticWeightAveraging, swa_lrs: 0.05, swa_epoch_start: 0.5, annealing_epochs: 1"
    metrics, folder = run(outputs, listed(node), "hparams.max_epochs=4", "hparams.learning_rate=0.05")
    last = read(folder, "last.ckpt")
    state = next(state for name, state in last["callbacks"].items() if name.startswith("Stochastic"))
    average = read(folder, "best.ckpt")["state_dict"]
    assert state["n_averaged"] == 3
    assert all(torch.equal(average[name], value) for name, value in state["average_model_state"].items())
    assert any(not torch.equal(average[name], last["state_dict"][name]) for name in average)
    again, _ = run(outputs, f"init_from={folder}", "+trainer.max_time=00:00:00:00")
    assert metrics["test/loss"] == again["test/loss"]


def test_a_copy_of_a_task_shares_its_data(tmp_path: Path) -> None:
    task = composed("seed=0", tmp_path).task
    task.setup("fit")
    task.configure_model()
    twin = copy.deepcopy(task)
    assert twin.data is task.data and twin.network is not task.network
    assert all(map(torch.equal, twin.parameters(), task.parameters()))


def test_what_was_asked_for_is_seen_and_kept(outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lightning reports by INFO, which is left out where it says the same on every run."""
    words = ["+trainer.profiler=simple", listed(f"{C}Timer, duration: '00:00:00:00'")]
    _, folder = run(outputs, *words)
    said, log = capfd.readouterr().err, (folder / "train.log").read_text()
    for text in (said, log):
        assert "FIT Profiler Report" in text and "Time limit reached" in text
        assert "GPU available" not in text and "Loaded model weights" not in text


def test_a_run_without_an_end_of_its_own(outputs: Path) -> None:
    words = ["trainer.max_epochs=-1", "hparams.schedule=null"]
    _, folder = run(outputs, *words, listed(f"{C}EarlyStopping, monitor: val/loss, stopping_threshold: 1e9"))
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    _, folder = run(outputs, "trainer.max_epochs=-1", "hparams.schedule=cosine", "+trainer.max_steps=4")
    assert read(folder, "last.ckpt")["global_step"] == 4


def test_without_validation_the_last_epoch_is_tested(outputs: Path) -> None:
    metrics, folder = run(outputs, "+trainer.limit_val_batches=0", "hparams.early_stopping_patience=null")
    assert "test/loss" in metrics and not (folder / "checkpoints" / "best.ckpt").exists()


def test_accumulated_batches_are_one_point_each_step(outputs: Path) -> None:
    _, folder = run(outputs, "+trainer.accumulate_grad_batches=2", "+trainer.limit_train_batches=5")
    steps = [row.step for row in read_metrics(folder) if row.name == "train/loss"]
    assert steps == [0, 1, 2, 3, 4, 5]


def test_a_debug_run_takes_every_callback(train: Train, outputs: Path) -> None:
    nodes = [f"{C}LearningRateMonitor", f"{C}ModelCheckpoint", f"{C}DeviceStatsMonitor"]
    done = train(*TINY[:4], "debug=True", "+trainer.fast_dev_run=2", listed(*nodes))
    assert done.returncode == 0, done.stderr


MANUAL = {
    "+trainer.accumulate_grad_batches=2": "gradient accumulation",
    "trainer.gradient_clip_val=1.0": "gradient clipping",
    listed(
        f"{C}GradientAccumulationScheduler, scheduling: {{0: 2}}"
    ): "takes the steps of its optimizers itself",
    listed(f"{C}StochasticWeightAveraging, swa_lrs: 0.01"): "takes the steps of its optimizers itself",
}


@pytest.mark.parametrize("word", MANUAL)
def test_a_task_of_two_optimizers_refuses_what_is_for_one(word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^trainer.*{MANUAL[word]}"):
        composed_of("task=gan", word, folder=tmp_path)


def test_a_memory_refuses_averages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer.callbacks: a memory has no weights to average"):
        composed_of("task=patch_memory", listed(f"{C}EMAWeightAveraging"), folder=tmp_path)

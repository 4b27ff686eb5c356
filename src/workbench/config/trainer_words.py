"""The words of Lightning's Trainer that a run cannot obey, each refused with its reason.

tests/test_lightning_words.py holds every argument of the installed Trainer: obeyed, or refused here.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from workbench.common.errors import ConfigError, nearest

# What Lightning would refuse only once torch is loaded and the run folder made.
WORDS = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "precision": ("auto", "16", "32", "bf16", "16-mixed", "bf16-mixed", "32-true"),
    "strategy": ("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp", "fsdp_cpu_offload"),
}
TRUE_PRECISION = "a run's weights, metrics and exported model are float32; {} computes in fewer bits"
DOUBLE = "data, metrics and exported model of a run are float32; leave it at auto"
OTHER_PRECISIONS = {
    "16-true": TRUE_PRECISION.format("16-mixed"),
    "bf16-true": TRUE_PRECISION.format("bf16-mixed"),
    "transformer-engine": TRUE_PRECISION.format("bf16-mixed"),
    "transformer-engine-float16": TRUE_PRECISION.format("16-mixed"),
    "64-true": DOUBLE,
    "64": DOUBLE,
}
# The values that change nothing, and why there is no other.
FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "logger": ((None, True), "every value goes to metrics.csv and to the trackers that loggers= names"),
    "default_root_dir": (
        (None,),
        "it is the run folder; outputs=<folder> says where that lies",
    ),
    "enable_checkpointing": (
        (None, True),
        "a run is tested by best.ckpt and resumed by last.ckpt; debug=True keeps neither",
    ),
    "enable_autolog_hparams": ((None, True), "config.yaml and the trackers hold every hyper-parameter"),
    "model_registry": ((None,), "it is Lightning's own cloud; src/register.py registers a trained model"),
    "barebones": ((None, False), "it forbids checkpoints and metrics, of which a run consists"),
    "num_sanity_val_steps": ((None, 0), "a run validates what it has trained; debug=True tries every split"),
    "limit_predict_batches": ((None,), "a run never predicts; src/inference.py does"),
    "use_distributed_sampler": ((None, True), "each process takes its share of the examples in any case"),
}
NOT_ZERO = {
    "max_epochs": "a run trains; init_from=<run> hparams.learning_rate=... begins with trained weights",
    "max_steps": "a run trains",
    "limit_train_batches": "a run trains",
    "limit_test_batches": "a run ends with the test of its best epoch; 1 is the shortest",
    "log_every_n_steps": "the loss is looked at there; give a number above 0",
}


def check_trainer_words(config: DictConfig) -> None:
    """Raise ConfigError for the first word of `trainer` that a run cannot obey."""
    node = config.trainer
    for key, words in WORDS.items():
        if not isinstance(node.get(key, "auto"), DictConfig | None):  # null leaves it to Lightning's plugins
            _check_word(key, str(node.get(key, "auto")), words)
    for key, (harmless, reason) in FIXED.items():
        if key in node and node[key] not in harmless:
            raise ConfigError(f"trainer.{key}: {reason}; leave it out")
    for key, reason in NOT_ZERO.items():
        if key in node and node[key] is not None and node[key] == 0:
            raise ConfigError(f"trainer.{key}: 0 is too few: {reason}")
    if node.get("fast_dev_run") and not config.debug:
        raise ConfigError("trainer.fast_dev_run: it keeps nothing of a run; write debug=True beside it")
    _check_length(node, config.hparams)
    if node.get("limit_val_batches", 1) == 0 and config.hparams.early_stopping_patience is not None:
        raise ConfigError(
            "trainer.limit_val_batches: hparams.early_stopping_patience watches validation; set it to null"
        )


def _check_word(key: str, word: str, words: tuple[str, ...]) -> None:
    if key == "precision" and word in OTHER_PRECISIONS:
        raise ConfigError(f"trainer.precision={word}: {OTHER_PRECISIONS[word]}")
    if word not in words:
        close = nearest(word, words) or f"; there is {', '.join(words)}"
        raise ConfigError(f"trainer.{key}: there is no {word}{close}")


def _check_length(node: DictConfig, hparams: Mapping[str, Any]) -> None:
    is_endless = node.get("max_epochs") == -1 and node.get("max_steps", -1) in (-1, None)
    if is_endless and hparams["schedule"] is not None:
        raise ConfigError(
            f"trainer.max_epochs=-1: the schedule {hparams['schedule']} wants to know the run's length; "
            "give +trainer.max_steps, or hparams.schedule=null"
        )

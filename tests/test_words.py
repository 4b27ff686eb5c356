"""A wrong word on the command line gets one line with the nearest right name, and leaves nothing."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from whole_command import ROOT, Train

from workbench.config.command import resume_command

WRONG = {
    "hparams.batchsize=64": ["hparams.batchsize", "did you mean hparams.batch_size?"],
    "batch_size=64": ["batch_size", "did you mean hparams.batch_size?"],
    "hparams.batch_size=abc": ["hparams.batch_size", "'abc'", "Integer"],
    "hparams.batch_size=-1": ["hparams.batch_size", "-1", "above 0"],
    "hparams.patches=[3]": ["hparams.patches", "[low, high]"],
    "hparams.optimizer=Adamm": ["hparams.optimizer", "did you mean Adam?"],
    "hparams.optimizer=sgd": ["hparams.optimizer", "did you mean SGD?"],
    "data.split_seed=1": ["data.split_seed", "+data.split_seed"],
    "model=set_transformr": ["model", "did you mean set_transformer?"],
    "modle=set_transformer": ["modle", "did you mean model?"],
    "trainer.max_epoch=3": ["trainer.max_epoch", "did you mean trainer.max_epochs?"],
    "trainer.log_every_n_steps=abc": ["trainer.log_every_n_steps", "'abc'", "int"],
    "+model.widht=3": ["model.widht", "did you mean width?"],
    "model._target_=patchsets.model.set_transformer.SetTransformr": ["model._target_", "SetTransformr"],
    "model._target_=os.system": ["model._target_", "os.system", "trusted_targets"],
    "+trainer.callbacks=[{_target_: subprocess.run}]": ["trainer.callbacks[0]._target_", "subprocess.run"],
    "+loggers.mlflow.api_token=abc": ["loggers.mlflow.api_token", "environment"],
    "experiment_name=a/b": ["experiment_name", "a/b"],
    "experiment_name='x '": ["experiment_name", "'x '"],
    "resume=nowhere": ["resume", "nowhere", "config.yaml"],
    "init_from=nowhere": ["init_from", "nowhere"],
    "debug": ["debug", "key=value"],
    "loggers=null": ["loggers=null", "loggers=[]"],
    "model=null": ["model=null", "set_transformer"],
    "loggers=[csv,tensorbord]": ["loggers", "did you mean tensorboard?"],
    "trainer.precision=bf17-mixed": ["trainer.precision", "did you mean bf16-mixed?"],
    "trainer.accelerator=gpus": ["trainer.accelerator", "did you mean gpu?"],
    "init_from=": ["init_from", "empty"],
    "model.width=-4": ["model.width", "-4", "above 0"],
    "+trainer.strategy=ddp_spawn": ["trainer.strategy", "ddp"],
    "trainer.log_every_n_steps=0": ["trainer.log_every_n_steps", "above 0"],
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_word_gets_one_line_and_leaves_nothing(train: Train, outputs: Path, word: str) -> None:
    done = train(word, check=False)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for part in WRONG[word]:
        assert part in lines[0]
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [("data.category=brik", "did you mean brick?"), ("data.categry=brick", "did you mean category?")],
)
def test_words_beside_a_run_are_for_its_own_parts(train: Train, word: str, said: str) -> None:
    done = train(f"repeat={ROOT / 'tests/runs_of_e4f38a4/autoencoder'}", word, check=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_a_wrong_word_is_answered_without_torch() -> None:
    code = "import sys, runpy; sys.argv = ['train.py', 'hparams.optimizer=Adamm']\n"
    code += "try: runpy.run_path('src/train.py', run_name='__main__')\n"
    code += "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "2 False", done.stdout + done.stderr


@pytest.mark.parametrize("name", ["plain_1.2", "a b", "a,b (1)=x", "it's", "日本", "a\\", "$HOME", "#1"])
def test_a_command_to_go_on_is_quoted_for_the_shell_and_for_hydra(name: str) -> None:
    folder = Path("/runs") / name
    word = shlex.split(resume_command(folder))[-1]
    override = OverridesParser.create().parse_overrides([word])[0]
    assert override.key_or_group == "resume" and not override.is_sweep_override()
    assert str(override.value()) == str(folder)

"""A wrong word on the command line gets one line with the nearest right name, and leaves nothing."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from whole_command import ROOT, TINY, Train

from workbench.config.command import resume_command

WRONG = {
    "hparams.batchsize=64": ["hparams.batchsize", "did you mean hparams.batch_size?"],
    "batch_size=64": ["batch_size", "did you mean hparams.batch_size?"],
    "hparams.batch_size=abc": ["hparams.batch_size", "'abc'", "Integer"],
    "hparams.batch_size=-1": ["hparams.batch_size", "-1", "above 0"],
    "hparams.patches=[3]": ["hparams.patches", "[low, high]"],
    "hparams.optimizer=Adamm": ["hparams.optimizer", "did you mean Adam?"],
    "hparams.optimizer=sgd": ["hparams.optimizer", "did you mean SGD?"],
    "data.augment=flip": ["data.augment", "'flip' is not", "flips", "_target_"],
    "data.augmnt=flips": ["data.augmnt", "did you mean data.augment?"],
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
    "+experiment=small": ["experiment: nothing reads it", "did you mean experiment_name?"],
    "+expeirment_name=foo": ["expeirment_name: nothing reads it", "did you mean experiment_name?"],
    "+qqq.width=3": ["qqq: nothing reads it", "there is experiment_name, "],
    "+hparams.batchsize=8": ["hparams.batchsize", "did you mean hparams.batch_size?"],
    "+sweep.smapler=tpe": ["sweep.smapler: nothing reads it", "did you mean sampler?"],
    "+optimizers.SDG.momentum=0.5": ["optimizers.SDG", "did you mean SGD?"],
    "+optimizers.AdamW.momentm=0.5": ["optimizers.AdamW.momentm", "torch.optim.AdamW takes no momentm"],
    "+schedules.mine=3": ["schedules.mine", "_target_"],
    "+loggers.foo=3": ["loggers.foo", "_target_", "tensorboard"],
    "+loggers.mine={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: x}": [
        "loggers.mine: CSVLogger is no tracker",
        "start, scalars, figure, finish",
    ],
    "+trainer.callbacks=[3]": ["trainer.callbacks[0]", "_target_"],
    "+trainer.callbacks.foo=3": ["trainer.callbacks", "list"],
    "seed=-1": ["seed", "-1", "between 0 and 4294967295"],
    "seed=5000000000": ["seed", "5000000000", "between 0 and 4294967295"],
    "data.batch_size=0": ["data.batch_size", "0", "above 0"],
    "~loggers": ["~loggers", "'loggers=[]' is none"],
    "~model": ["model: names no _target_", "deep_sets"],
    "hparams.patches[0]=3": ["hparams.patches.0=3"],
    "tags.作者=私": ["tags.作者", "a key has letters a to z"],
    "hparams.learning_rate=${hparams.nothing}": ["hparams.learning_rate: it reads hparams.nothing"],
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


FLAGS = {
    ("-m", "hparams.width=8,16", "--cfg", "job"): "error: -m: leave it out beside --cfg and --info",
    ("-cp", "/nowhere"): "error: Primary config directory not found. Check that",
    ("-cp", "/tmp"): "error: config: there is no config.yaml in",
    ("-cn", "nothing"): "error: nothing: there is no nothing.yaml in",
    ("--config-dir", "/nowhere"): "error: Additional config directory '/nowhere' not found",
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_wrong_flag_gets_one_line(train_apart: Train, flags: tuple[str, ...]) -> None:
    done = train_apart(*flags, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(FLAGS[flags])


def test_a_root_key_of_ones_own_counts_where_a_value_reads_it(train: Train, outputs: Path) -> None:
    words = ["+mine.epochs=1", "hparams.max_epochs=${mine.epochs}"]
    train(*TINY, *words)
    train(f"resume={outputs}/patch_sets/latest")


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

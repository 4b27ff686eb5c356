"""What is refused while a run is being built is one line, and leaves no folder."""

from pathlib import Path

import pytest
from whole_command import Train

REFUSED = {
    "seed=-1": "seed: -1 is not between 0 and 4294967295",
    "seed=5000000000": "seed: 5000000000 is not between",
    "data.batch_size=0": "data.batch_size: 0 is not a number above 0",
    "trainer.devices=0": "trainer:",
    "+trainer.max_time=soon": "trainer:",
    "trainer.accelerator=tpu": "torch_xla",
    "+trainer.callbacks=[{_target_: torch.nn.Identity}]": "Identity is no callback of Lightning",
    "+data.train_fraction=1": "data.train_fraction: patchsets.data.digits.Digits takes no train_fraction",
    "model.width=${hparams.nothing}": "model.width: it reads hparams.nothing",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_built_is_one_line(train: Train, outputs: Path, word: str) -> None:
    done = train(word, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and REFUSED[word] in line
    assert not outputs.exists()


def test_a_mistake_in_ones_own_file_names_file_and_line(
    train: Train, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_mistakes").mkdir()
    (tmp_path / "own_mistakes" / "half.py").write_text("class Half:\n    def __init__(self) -> None\n")
    (tmp_path / "own_mistakes" / "gone.py").write_text("import torch\n\nfrom torch import no_such_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in {"half.Half": "half.py:2: SyntaxError", "gone.Gone": "gone.py:3: ImportError"}.items():
        words = [f"model._target_=own_mistakes.{name}", "trusted_targets=[own_mistakes.]"]
        done = train(*words, check=False)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ("autoencoder", "task.metrics={wrong: {_target_: torch.sub, _partial_: true}}"),
        ("gan", "task.learning_rates={generator: 0.1}"),
        ("patch_memory", "task.learning_rates={memory: 0.1}"),
    ],
)
def test_what_a_detector_would_ignore_is_refused(train: Train, outputs: Path, task: str, word: str) -> None:
    done = train(f"task={task}", f"+{word}", check=False)
    assert done.returncode == 2 and word.partition("=")[0] in done.stderr, done.stderr
    assert not outputs.exists()

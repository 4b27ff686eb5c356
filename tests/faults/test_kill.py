"""kill -9 at random moments: whatever was going on, it goes on afterwards and ends in the same result."""

import csv
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import make_folder, start
from kill import Growing, assert_whole, draw, kill_after, kill_when, run, timed
from PIL import Image
from same_result import runs_in
from script import Command
from undisturbed import Reference, goes_on_to_the_same_end, rounds
from whole_command import QUICK

TRAINING, CHECKPOINTS, SWEEPS, INFERENCES, TRAINDATA = 22, 8, 8, 6, 6  # 50 in all
EPOCHS = 3
WORDS = [*QUICK, f"hparams.max_epochs={EPOCHS}", "hparams.dropout=0.1", "loggers=csv", "save_model=false"]
# Few steps of a network whose checkpoint is large: writing its 28 MB takes long enough to be met.
LARGE = [
    *WORDS,
    "hparams.width=512",
    *(f"+trainer.limit_{split}_batches=2" for split in ("train", "val", "test")),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Threads do not survive a fork."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"), WORDS)


@pytest.mark.parametrize("seed", rounds(TRAINING))
def test_training(reference: Reference, tmp_path: Path, seed: int) -> None:
    kill_after(lambda: start(*WORDS, f"outputs={tmp_path}"), draw(seed).uniform(0, 1.1 * reference.seconds))
    goes_on_to_the_same_end(tmp_path, reference)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("large"), LARGE)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A folder for temporary files on another file system than the run's."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


def train_copying_checkpoints(outputs: Path, elsewhere: str) -> None:
    """Train in a process of its own; each checkpoint is copied to its place, not renamed all at once."""
    tempfile.tempdir = elsewhere
    start(*LARGE, f"outputs={outputs}")


@pytest.mark.parametrize("seed", rounds(CHECKPOINTS))
def test_while_a_checkpoint_is_written(large: Reference, tmp_path: Path, elsewhere: str, seed: int) -> None:
    random = draw(seed)
    for attempt in range(5):  # the copying may be done before the killer looks again
        outputs = tmp_path / str(attempt)
        epoch, share = random.randrange(EPOCHS), random.uniform(0, 0.8)
        writing = Growing(outputs, "checkpoints/.last.ckpt.new", epoch, int(share * large.checkpoint_bytes))
        kill_when(partial(train_copying_checkpoints, outputs, elsewhere), writing)
        left = [path.stat().st_size / large.checkpoint_bytes for path in outputs.rglob(".last.ckpt.new")]
        print(f"epoch {epoch}, at {share:.0%} of the file: left {left[0]:.0%}" if left else "missed")
        if left and left[0] < 1:
            break
    else:
        pytest.fail("no unfinished checkpoint was met")
    goes_on_to_the_same_end(outputs, large)
    assert not list(outputs.rglob(".*.new"))


class Sweep(Command):
    """A grid of four short trainings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        grid = ["hparams.optimizer=SGD,Adam", "hparams.width=8,16"]
        super().__init__("train.py", "-m", *WORDS, "hparams.max_epochs=1", *grid, f"hydra.sweep.dir={folder}")

    def trials(self) -> dict[str, dict]:
        summaries = {path.parent.name: path for path in self.folder.glob("*/summary.json")}
        return {name: json.loads(path.read_text()) for name, path in sorted(summaries.items())}


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, dict[str, dict]]:
    sweep = Sweep(tmp_path_factory.mktemp("sweep"))
    seconds = timed(sweep)
    assert len(sweep.trials()) == 4
    return seconds, sweep.trials()


@pytest.mark.parametrize("seed", rounds(SWEEPS))
def test_sweep(whole_sweep: tuple[float, dict[str, dict]], tmp_path: Path, seed: int) -> None:
    seconds, expected = whole_sweep
    sweep = Sweep(tmp_path)
    kill_after(sweep, draw(seed).uniform(0, 1.1 * seconds))
    assert_whole(tmp_path)
    finished = {name: trial for name, trial in sweep.trials().items() if trial["status"] == "finished"}
    run(sweep)
    trials = sweep.trials()
    assert {name: trials[name] for name in finished} == finished  # none was done again
    assert {name: trial["metrics"] for name, trial in trials.items()} == {
        name: trial["metrics"] for name, trial in expected.items()
    }


def make_photographs(folder: Path, number: int) -> Path:
    """Write noise: no two are the same."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (number, 40, 48, 3), dtype=np.uint8)
    for place, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{place:03}.png")
    return folder


class Inference:
    """A model that judges images, and what it says undisturbed."""

    def __init__(self, folder: Path) -> None:
        root = make_folder(folder / "images")
        self.images = make_photographs(folder / "photographs", 200)
        words = [*QUICK, "hparams.max_epochs=1", "data=folder", "loggers=[]", f"data.root={root}"]
        run(lambda: start(*words, f"outputs={folder}"))
        (self.model,) = runs_in(folder)
        self.seconds = timed(self.command(folder / "answers"))
        self.answers = read_answers(folder / "answers")

    def command(self, output: Path) -> Command:
        words = {"model": self.model, "input": self.images, "output": output, "batch_size": 4}
        return Command("inference.py", *(f"{key}={value}" for key, value in words.items()))


def read_answers(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{key: text for key, text in row.items() if key != "ms"} for row in rows]


@pytest.fixture(scope="module")
def inference(tmp_path_factory: pytest.TempPathFactory) -> Inference:
    return Inference(tmp_path_factory.mktemp("inference"))


@pytest.mark.parametrize("seed", rounds(INFERENCES))
def test_inference(inference: Inference, tmp_path: Path, seed: int) -> None:
    command = inference.command(tmp_path / "answers")
    kill_after(command, draw(seed).uniform(0, 1.1 * inference.seconds))
    assert_whole(tmp_path)
    run(command)
    assert read_answers(tmp_path / "answers") == inference.answers


class TrainData:
    """A data set that is made of raw images, and what it is undisturbed: its files by name."""

    def __init__(self, folder: Path) -> None:
        self.images = make_photographs(folder / "photographs", 300)
        self.seconds = timed(self.command(folder / "made"))
        self.files = files_in(folder / "made")

    def command(self, output: Path) -> Command:
        words = {"good": self.images, "output": output, "size": 32, "synthesize": "true"}
        return Command("create_traindata.py", *(f"{key}={value}" for key, value in words.items()))


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def train_data(tmp_path_factory: pytest.TempPathFactory) -> TrainData:
    return TrainData(tmp_path_factory.mktemp("train_data"))


@pytest.mark.parametrize("seed", rounds(TRAINDATA))
def test_create_traindata(train_data: TrainData, tmp_path: Path, seed: int) -> None:
    command = train_data.command(tmp_path / "made")
    kill_after(command, draw(seed).uniform(0, 1.1 * train_data.seconds))
    if not (tmp_path / "made").is_dir():  # all or nothing
        run(command)
    assert files_in(tmp_path / "made") == train_data.files

"""What a crash or a person damaged in a run folder is told in one line, or done without."""

import errno
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from in_process import start
from whole_command import QUICK, the_run

from patchsets.data.bags import Bags
from patchsets.data.batch import ImageBatch, not_finite
from patchsets.data.vector_sets import LabelledSets
from workbench.common.errors import ConfigError, DataError, UserError, storage_trouble
from workbench.config.choose import load_config
from workbench.config.optimizers import make_optimizer
from workbench.run.checkpoints import last_checkpoint
from workbench.run.folder import make_folder, name_folder
from workbench.run.provenance import changed_data
from workbench.run.summary import read_summary, status
from workbench.tracking.artifacts import Acknowledged, Taken
from workbench.train.loading import BatchedRows, loader, workers_told

DAMAGED = [b"", b"{", b"[]", b"\xff\xfe\x00"]


@pytest.mark.parametrize("content", [b"", b"a: [1\nb", b"- 1", b"\xff\xfe\x00"])
def test_config_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml.*damaged"):
        load_config(tmp_path)


@pytest.mark.parametrize("content", DAMAGED)
def test_summary_is_done_without(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    assert read_summary(tmp_path) == {}
    assert status(tmp_path) == "unknown"


@pytest.mark.parametrize("content", [*DAMAGED, b'{"key": "k", "trackers": {"csv": {"size": 1}}}'])
def test_what_trackers_have_is_sent_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trackers.json").write_bytes(content)
    assert Acknowledged(tmp_path).by("csv") == Taken()
    assert json.loads((tmp_path / "trackers.json").read_text())["key"]


@pytest.mark.parametrize("content", DAMAGED)
def test_record_of_the_data_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"data\.json.*damaged"):
        changed_data(tmp_path, {"train": 3})


def test_outputs_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"outputs: .*Not a directory"):
        make_folder(name_folder(tmp_path / "file", "name"))


def test_value_that_an_optimizer_refuses_is_named() -> None:
    with pytest.raises(ConfigError, match=r"optimizers\.SGD: "):
        settings = {"optimizer": "SGD", "learning_rate": 0.1, "weight_decay": 0.0}
        make_optimizer(
            [{"params": [torch.zeros(1, requires_grad=True)]}], settings, {"SGD": {"momentum": "much"}}
        )


def test_a_mistake_found_by_a_data_worker_is_its_own_line() -> None:
    def take(rows: torch.Tensor) -> torch.Tensor:
        raise OSError(errno.EIO, "Input/output error", "images.h5")

    rows = loader(BatchedRows(20, take), batch_size=10, num_workers=1, shuffle_seed=None)
    with pytest.raises(DataError) as told, workers_told():
        next(iter(rows))
    assert str(told.value) == (
        "examples 0, 1, 2, 3, 4, 5, 6, 7, ... cannot be read: [Errno 5] Input/output error: 'images.h5'"
    )
    assert "Traceback" in told.value.details


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "the GPU"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            "the machine",
        ),
    ],
)
def test_memory_that_is_full_is_one_line_with_the_words_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    def fill(*_: object) -> None:
        raise error

    monkeypatch.setattr("patchsets.task.classification.Classification.training_values", fill)
    with pytest.raises(UserError) as told:
        start(*QUICK, "loggers=[]", f"outputs={tmp_path}")
    words = "hparams.batch_size=64 or hparams.patches=6 or hparams.width=16 or hparams.depth=1"
    assert str(told.value) == f"the memory of {where} is full; lower {words}"
    assert status(the_run(tmp_path)) == "failed"


@dataclass
class Pair:
    """A batch of a user's own type."""

    values: list[torch.Tensor]
    ids: np.ndarray


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12, where threads live
def test_full_shared_memory_is_told_by_the_worker_that_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left")

    pairs = BatchedRows(20, lambda rows: Pair([rows], rows.numpy()))
    rows = loader(pairs, batch_size=10, num_workers=1, shuffle_seed=None)
    assert [batch.values[0].tolist() for batch in rows] == [[*range(10)], [*range(10, 20)]]
    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    rows = loader(pairs, batch_size=10, num_workers=1, shuffle_seed=None)
    with pytest.raises(UserError, match=r"shared memory .* is full: .*data\.num_workers"), workers_told():
        next(iter(rows))


def test_a_data_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"signal: Killed; where memory is short"), workers_told():
        raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")  # as torch says it


@pytest.mark.parametrize(
    ("damaged", "remedy"),
    [
        ("best.ckpt", "remove it to go on without the best epoch so far"),
        ("last.ckpt", "copy best.ckpt over it to go on from there"),
    ],
)
def test_a_damaged_checkpoint_is_named_with_its_remedy(tmp_path: Path, damaged: str, remedy: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("best.ckpt", "last.ckpt"):
        path = tmp_path / "checkpoints" / name
        torch.save({"state_dict": {}}, path)
        if name == damaged:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=rf"{damaged}: .*damaged\? If so, {remedy}"):
        last_checkpoint(tmp_path)


def test_init_from_a_run_without_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(ConfigError, match="no checkpoint"):
        start(f"outputs={tmp_path / 'outputs'}", f"init_from={tmp_path / 'old'}")
    assert not (tmp_path / "outputs").exists()


def test_a_full_disk_is_one_line_and_leaves_the_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_lightning import Trainer

    save = Trainer.save_checkpoint

    def save_until_full(trainer: Trainer, path: Path, *arguments: object) -> None:
        if trainer.current_epoch == 1:
            path.write_bytes(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/somewhere")
        save(trainer, path, *arguments)

    monkeypatch.setattr(Trainer, "save_checkpoint", save_until_full)
    with pytest.raises(UserError, match=r"No space left on device; .* put that right, then: .*resume="):
        start(*QUICK, "loggers=[]", "save_model=false", f"outputs={tmp_path}")
    folder = the_run(tmp_path)
    assert status(folder) == "failed"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    monkeypatch.undo()
    assert start(f"resume={folder}")


def test_a_disk_without_inodes_is_not_said_to_lack_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert storage_trouble(full, tmp_path / "a" / "b") == "No space left on device"
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_files=10, f_favail=0))
    assert storage_trouble(full, tmp_path / "a" / "b") == "no inode is left on its disk (df -i)"

    def refuse(*_: object) -> None:
        raise full

    monkeypatch.setattr("workbench.train.experiment.write_provenance", refuse)
    with pytest.raises(UserError, match=r"put that right, then: the same command again$"):
        start(*QUICK, "loggers=[]", f"outputs={tmp_path}")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "summary.json")

    monkeypatch.setattr("workbench.run.summary.write_json", refuse)
    with pytest.raises(UserError, match=r"summary.json: Permission denied"):
        start(*QUICK, "loggers=[]", f"outputs={tmp_path}")


@pytest.mark.parametrize(
    ("word", "said"), [("outputs=", "outputs: it is empty"), ("trainer.accelerator=gpu", "there is no GPU")]
)
def test_what_cannot_be_is_said_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        start(f"outputs={tmp_path / 'outputs'}", word)
    assert not list(tmp_path.iterdir())


def test_init_from_latest_is_the_run_before(tmp_path: Path) -> None:
    start(*QUICK, "loggers=[]", "save_model=false", f"outputs={tmp_path}")
    first = the_run(tmp_path)
    latest = tmp_path / "patch_sets" / "latest"
    start(*QUICK, "loggers=[]", "save_model=false", f"outputs={tmp_path}", f"init_from={latest}")
    assert load_config(the_run(tmp_path)).init_from == str(first)


BAGS = ["data=bags", "model=attention_pool", "hparams.max_epochs=1", "loggers=[]", "save_model=false"]


@pytest.mark.parametrize(("split", "value"), [("train", "nan"), ("val", "inf"), ("test", "nan")])
def test_a_number_in_the_data_that_is_not_finite_is_named(
    split: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Bags.read

    def read_broken(self: Bags) -> dict[str, LabelledSets]:
        splits = read(self)
        parts = {name: replace(part, values=part.values.float()) for name, part in splits.items()}
        parts[split].values[int(parts[split].lengths[:5].sum()) + 1, 7] = float(value)
        return parts

    monkeypatch.setattr(Bags, "read", read_broken)
    few = [f"+data.{name}_bags=12" for name in ("train", "val", "test")]
    wrong = f"{split} example 5 has {value} at element 1, feature 7 \\(1 of \\d+ numbers\\). Correct"
    with pytest.raises(DataError, match=wrong) as told:
        start(*BAGS, *few, f"outputs={tmp_path / 'outputs'}")
    assert "learning_rate" not in str(told.value)


def test_labels_and_images_that_are_not_finite_are_named_too() -> None:
    images = torch.zeros(3, 1, 2, 2)
    images[1, 0, 1, 0] = torch.inf
    batch = ImageBatch(images, torch.tensor([0.0, 1.0, torch.nan]), torch.tensor([4, 5, 6]))
    assert not_finite(batch) == {
        5: "inf at element 0, feature 2 (1 of 4 numbers)",
        6: "the label nan",
    }

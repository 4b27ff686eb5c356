"""Disks that are full or read-only, files that are damaged: one line each; once repaired, it goes on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from in_process import make_folder, start
from kill import assert_whole, run
from same_result import assert_same, runs_in
from script import fail
from whole_command import QUICK, ROOT

from patchsets.data.folder import Folder
from workbench.run.summary import status

EPOCHS = 3
WORDS = [*QUICK, f"hparams.max_epochs={EPOCHS}", "hparams.dropout=0.1", "loggers=csv"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Threads do not survive a fork."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("undisturbed")
    run(lambda: start(*WORDS, f"outputs={outputs}"))
    return runs_in(outputs)[0]


def midway(folder: Path, *commands: str, batch: bool = False) -> list[str]:
    """Return the words that let shell commands be run as the second epoch, or its first batch, begins."""
    script = folder / "midway.sh"
    script.write_text("\n".join(commands) + "\n")
    callback = f"{{_target_: midway.Midway, script: {script}, batch: {batch}}}"
    return [f"+trainer.callbacks=[{callback}]", "trusted_targets=[midway.]"]


def assert_failed_after_its_first_epoch(folder: Path) -> None:
    assert_whole(folder)
    checkpoints = {
        path.name: torch.load(path, weights_only=True)["epoch"] for path in (folder / "checkpoints").iterdir()
    }
    assert checkpoints == {"best.ckpt": 0, "last.ckpt": 0}


def mount(*words: str) -> None:
    if subprocess.run(["mount", *words], capture_output=True).returncode:
        pytest.skip("only root can mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk))
    yield disk
    while subprocess.run(["umount", "--recursive", str(disk)], capture_output=True).returncode == 0:
        pass


def test_the_disk_is_full_in_the_middle_of_training(undisturbed: Path, disk: Path, tmp_path: Path) -> None:
    fill = midway(tmp_path, f"cat /dev/zero > {disk}/filler 2> /dev/null || true")
    said = fail(tmp_path / "screen", *WORDS, *fill, f"outputs={disk}")
    (folder,) = runs_in(disk)
    assert said == (
        f"{folder}: No space left on device; what was kept is whole; put that right, "
        f"then: python src/train.py resume={folder}"
    )
    assert_failed_after_its_first_epoch(folder)
    assert status(folder) == "failed"
    (disk / "filler").unlink()
    run(lambda: start(f"resume={folder}"))
    assert_same(folder, undisturbed)


def test_the_disk_becomes_read_only_in_the_middle_of_training(
    undisturbed: Path, disk: Path, tmp_path: Path
) -> None:
    # files that are open for writing keep the disk itself from it: its folders are mounted once more, over it
    freeze = midway(tmp_path, f"mount --rbind {disk} {disk}", f"mount -o remount,bind,ro {disk}")
    said = fail(tmp_path / "screen", *WORDS, *freeze, f"outputs={disk}")
    (folder,) = runs_in(disk)
    assert said.startswith(f"{folder}/")
    assert "Read-only file system" in said and said.endswith(f"python src/train.py resume={folder}")
    assert "\n" not in said
    assert_failed_after_its_first_epoch(folder)
    assert status(folder) == "dead"  # nothing could be written any more
    assert "Read-only" in fail(tmp_path / "again", f"resume={folder}")
    subprocess.run(["umount", str(disk)], check=True)
    run(lambda: start(f"resume={folder}"))
    assert_same(folder, undisturbed)


def test_outputs_on_a_read_only_disk(disk: Path, tmp_path: Path) -> None:
    mount("-o", "remount,ro", str(disk))
    said = fail(tmp_path / "screen", *WORDS, f"outputs={disk}")
    assert said.startswith("outputs: ") and said.endswith("Read-only file system")
    assert "\n" not in said


def test_outputs_on_a_full_disk(disk: Path, tmp_path: Path) -> None:
    subprocess.run(f"cat /dev/zero > {disk}/filler", shell=True, capture_output=True)
    said = fail(tmp_path / "screen", *WORDS, f"outputs={disk}")
    assert "No space left on device" in said
    assert "\n" not in said


@pytest.mark.parametrize("inodes", [3, 5, 7, 12])
def test_outputs_on_a_disk_without_inodes(tmp_path: Path, inodes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size=4m,nr_inodes={inodes}", "tmpfs", str(disk))
    try:
        said = fail(tmp_path / "screen", *WORDS, f"outputs={disk}/o")
        assert "no inode is left on its disk (df -i)" in said and "\n" not in said
        left = [path.parent for path in disk.rglob("config.yaml")]
        assert ("resume=" in said) == bool(left)
        mount("-o", "remount,nr_inodes=1000", str(disk))
        run(lambda: start(*([f"resume={left[0]}"] if left else [*WORDS, f"outputs={disk}/o"])))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kilobytes", [4, 64])
def test_shared_memory_is_full(tmp_path: Path, kilobytes: int) -> None:
    fill = f"mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/fill"
    words = [*WORDS, "+data.num_workers=2", f"outputs={tmp_path}"]
    command = ["unshare", "-m", "sh", "-c", f'{fill} && exec "$0" "$@"', sys.executable]
    if subprocess.run([*command, "-c", ""], capture_output=True).returncode:
        pytest.skip("only root can mount")
    done = subprocess.run(
        [*command, ROOT / "src/train.py", *words], capture_output=True, text=True, timeout=120
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "shared memory (/dev/shm)" in line and "data.num_workers" in line
    assert status(runs_in(tmp_path)[0]) == "failed"


@pytest.mark.parametrize("damaged", ["last.ckpt", "best.ckpt"])
def test_a_truncated_checkpoint(undisturbed: Path, tmp_path: Path, damaged: str) -> None:
    words = [*WORDS, *midway(tmp_path, "rm $0; kill -9 $PPID"), f"outputs={tmp_path}"]
    with pytest.raises(AssertionError):
        run(lambda: start(*words))
    (folder,) = runs_in(tmp_path)
    checkpoints = folder / "checkpoints"
    path = checkpoints / damaged
    whole = (checkpoints / "last.ckpt").read_bytes()
    path.unlink()  # it may be another name of the other
    path.write_bytes(whole[: len(whole) // 2])
    said = fail(tmp_path / "screen", f"resume={folder}")
    assert said.startswith(f"{path}: this checkpoint cannot be read") and "\n" not in said
    assert path.stat().st_size == len(whole) // 2
    if damaged == "last.ckpt":
        assert said.endswith("If so, copy best.ckpt over it to go on from there")
        path.write_bytes((checkpoints / "best.ckpt").read_bytes())
    else:
        assert said.endswith("If so, remove it to go on without the best epoch so far")
        path.unlink()
    run(lambda: start(f"resume={folder}"))
    assert_same(folder, undisturbed)


DAMAGES = {
    "truncated": "head -c 60 {image} > {image}.new; mv {image}.new {image}",
    "deleted": "rm {image}",
    "junk": "echo junk > {image}",
}


class Images:
    """A folder of images, and one of them that the training learns from."""

    def __init__(self, root: Path) -> None:
        self.root = make_folder(root)
        data = Folder(batch_size=4, seed=0, root=str(root))
        data.setup()
        self.name = data.file_name("train", 0)
        self.content = (root / self.name).read_bytes()
        self.words = [*QUICK, f"hparams.max_epochs={EPOCHS}", "hparams.batch_size=4", "data=folder"]
        self.words += [f"data.root={root}", "data.patch_size=8", "data.stride=8", "loggers=[]"]

    def damage(self, how: str) -> str:
        return DAMAGES[how].format(image=self.root / self.name)

    def repair(self) -> None:
        (self.root / self.name).write_bytes(self.content)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", DAMAGES)
def test_an_image_is_damaged_while_images_are_read_batch_by_batch(
    tmp_path: Path, how: str, workers: int
) -> None:
    images = Images(tmp_path / "images")
    words = [*images.words, f"data.num_workers={workers}"]
    run(lambda: start(*words, *midway(tmp_path, "true"), f"outputs={tmp_path / 'undisturbed'}"))
    disturb = midway(tmp_path, images.damage(how))
    said = fail(tmp_path / "screen", *words, *disturb, f"outputs={tmp_path}")
    assert said.startswith(f"data.root: {images.name}: ") and "\n" not in said
    (folder,) = runs_in(tmp_path)
    assert json.loads((folder / "summary.json").read_text())["error"] == said
    assert ("Traceback" in (folder / "train.log").read_text()) == (workers > 0)
    assert_failed_after_its_first_epoch(folder)
    images.repair()
    run(lambda: start(f"resume={folder}"))
    assert_same(folder, runs_in(tmp_path / "undisturbed")[0])


def test_data_workers_are_killed(tmp_path: Path) -> None:
    images = Images(tmp_path / "images")
    words = [*images.words, "data.num_workers=2", "hparams.batch_size=1"]
    run(lambda: start(*words, *midway(tmp_path, "true"), f"outputs={tmp_path / 'undisturbed'}"))
    workers = "$(cat /proc/$PPID/task/*/children)"
    kill = midway(
        tmp_path, f"for worker in {workers}; do test $worker = $$ || kill -9 $worker; done", batch=True
    )
    said = fail(tmp_path / "screen", *words, *kill, f"outputs={tmp_path}")
    assert said.startswith("DataLoader worker") and "\n" not in said
    (folder,) = runs_in(tmp_path)
    assert status(folder) == "failed"
    assert_failed_after_its_first_epoch(folder)
    run(lambda: start(f"resume={folder}"))
    assert_same(folder, runs_in(tmp_path / "undisturbed")[0])


@pytest.mark.parametrize("how", DAMAGES)
def test_an_image_that_is_in_memory_may_be_damaged(tmp_path: Path, how: str) -> None:
    images = Images(tmp_path / "images")
    words = [*images.words, "data.cache=memory"]
    run(lambda: start(*words, f"outputs={tmp_path / 'undisturbed'}"))
    disturb = midway(tmp_path, images.damage(how))
    run(lambda: start(*words, *disturb, f"outputs={tmp_path}"))
    (folder,) = runs_in(tmp_path)
    assert_same(folder, runs_in(tmp_path / "undisturbed")[0])
    said = fail(tmp_path / "screen", f"resume={folder}", "hparams.max_epochs=4")
    assert images.name in said or "data have changed" in said
    assert_whole(folder)
    images.repair()
    run(lambda: start(f"resume={folder}", "hparams.max_epochs=4"))

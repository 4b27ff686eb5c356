"""Loaders go on in the midst of an epoch, and what is drawn depends on seed, epoch and example alone."""

import shutil
from pathlib import Path

import pytest
import torch
from in_process import start
from torch import Tensor
from whole_command import QUICK, the_run

from patchsets.data.digits import Digits
from patchsets.data.draws import example_keys, random_bits, uniform
from workbench.train.loading import BatchedRows, RowLoader, loader

pytestmark = pytest.mark.filterwarnings("ignore:.*worker processes:UserWarning")  # more than cores


class Recorder:
    """Gives rows themselves, and keeps which were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, rows: Tensor) -> Tensor:
        self.asked += rows.tolist()
        return rows


def rows_of(workers: int = 0, seed: int | None = 3, take: Recorder | None = None) -> RowLoader:
    return loader(BatchedRows(22, take or Recorder()), 4, workers, seed)


def epoch_of(rows: RowLoader, epoch: int) -> list[list[int]]:
    rows.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [batch.tolist() for batch in rows]


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_a_loader_goes_on_at_any_batch(workers: int) -> None:
    whole = [epoch_of(rows_of(), epoch) for epoch in range(3)]
    assert len({tuple(map(tuple, batches)) for batches in whole}) == 3
    for done in (0, 2, 6):
        broken = rows_of(workers)
        broken.sampler.set_epoch(1)  # type: ignore[attr-defined]
        batches = iter(broken)
        for _ in range(done):
            next(batches)
        state = broken.state_dict()
        going_on = rows_of(workers)
        going_on.load_state_dict(state)
        assert [batch.tolist() for batch in going_on] == whole[1][done:]
        assert going_on.state_dict() == {"epoch": 1, "rows": 22}
        assert epoch_of(going_on, 2) == whole[2]
        going_on.load_state_dict(state)
        assert epoch_of(going_on, 2) == whole[2]  # another epoch than the state's is a whole one


def test_what_was_given_is_not_read_again() -> None:
    take = Recorder()
    going_on = rows_of(take=take)
    going_on.load_state_dict({"epoch": 0, "rows": 16})
    read = [row for batch in going_on for row in batch.tolist()]
    assert take.asked == read and len(read) == 6


def test_a_rank_goes_on_in_its_own_share() -> None:
    shares = []
    for rank in range(2):
        rows = rows_of()
        rows.sampler.divide(rank, 2)  # type: ignore[attr-defined]
        rows.load_state_dict({"epoch": 0, "rows": 8})
        shares += [row for batch in rows for row in batch.tolist()]
    assert sorted(shares) == sorted(row for batch in epoch_of(rows_of(), 0)[4:] for row in batch)


def test_weights_say_how_often_a_row_is_drawn() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0]).repeat_interleave(1000)
    drawn = torch.cat(list(loader(BatchedRows(3000, Recorder()), 500, 0, 5, weights)))
    count = torch.bincount(drawn // 1000, minlength=3).tolist()
    assert count[0] == 0 and abs(count[2] - 2250) < 5 * (3000 * 0.75 * 0.25) ** 0.5


def test_keys_differ_by_seed_epoch_and_example_and_numbers_are_even() -> None:
    index = torch.arange(500)
    keys = torch.cat([example_keys(seed, epoch, index) for seed in range(4) for epoch in range(4)])
    assert len(keys.unique()) == 8000
    numbers = uniform(keys, 8)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert (numbers.mean(0) - 0.5).abs().max() < 5 * (1 / 12 / 8000) ** 0.5
    assert torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max() < 5 / 8000**0.5
    ones = torch.stack([(random_bits(keys, 1) >> bit & 1).float().mean() for bit in range(31)])
    assert (ones - 0.5).abs().max() < 5 * 0.5 / 8000**0.5


def test_an_example_draws_the_same_patches_in_any_batch() -> None:
    data = Digits(8, 0, patches=[2, 20])
    data.setup()
    part = data.splits["train"]

    def drawn(rows: list[int]) -> dict[int, list[list[int]]]:
        torch.rand(len(rows))  # what else is drawn does not matter
        batch = data.make_batch(part.take(torch.tensor(rows)), training=True)
        assert batch.positions is not None  # type: ignore[union-attr]
        places = batch.positions.split(batch.sets.sizes)  # type: ignore[union-attr]
        return {row: place.tolist() for row, place in zip(rows, places, strict=True)}

    together = drawn([5, 9, 2, 40])
    assert together == drawn([40, 2]) | drawn([9]) | drawn([5])
    data.epoch = 1
    assert all(places != together[row] for row, places in drawn([5, 9, 2, 40]).items())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that kept a checkpoint after every seventh step."""
    outputs = tmp_path_factory.mktemp("unbroken")
    keep = (
        f"{{_target_: pytorch_lightning.callbacks.ModelCheckpoint, dirpath: {outputs}/steps, save_top_k: -1"
    )
    start(*WORDS, f"outputs={outputs}", f"+trainer.callbacks=[{keep}, every_n_train_steps: 7}}]")
    return outputs


WORDS = [*QUICK, "hparams.max_epochs=2", "hparams.dropout=0.2", "hparams.patches=[1,20]", "loggers=csv"]
ERASE = "{_target_: kornia.augmentation.RandomErasing}"
WORDS += [f"data.augment=[shifts,{ERASE}]", "data.augment_patches=jitter"]


@pytest.mark.parametrize(("epoch", "workers"), [(0, 0), (1, 2), (0, 4)])
def test_a_run_goes_on_in_mid_epoch_bit_for_bit(
    unbroken: Path, tmp_path: Path, epoch: int, workers: int
) -> None:
    whole = the_run(unbroken)
    assert (whole / "figures" / "augmented.png").is_file()
    last = torch.load(whole / "checkpoints/last.ckpt", weights_only=True)
    within = unbroken / f"steps/epoch={epoch}-step={[14, 28][epoch]}.ckpt"
    run = tmp_path / "patch_sets" / whole.name
    shutil.copytree(whole, run)
    shutil.copyfile(within, run / "checkpoints/last.ckpt")
    start(f"resume={run}", f"+data.num_workers={workers}")
    again = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert again["global_step"] == last["global_step"]
    for name, weights in last["state_dict"].items():
        assert torch.equal(again["state_dict"][name], weights), name
    assert (run / "metrics.csv").read_text().splitlines()[-1].split(",")[1:] == (
        whole / "metrics.csv"
    ).read_text().splitlines()[-1].split(",")[1:]

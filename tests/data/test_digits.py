"""The digits are split and ordered by seeds, shuffled by epoch, and no image is on two sides."""

import numpy as np
import pytest
import torch

from patchsets.data.digits import Digits
from patchsets.data.splitting import split_groups, split_rows
from workbench.common.errors import ConfigError


def digits() -> Digits:
    data = Digits(64, 0, patches=[1, 36])
    data.setup()
    return data


def test_training_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        data = Digits(64, seed)
        data.setup()
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return torch.cat([raw.index for raw in loader]).tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_workers_give_the_same_batches() -> None:
    data = Digits(512, 0)
    data.setup()
    alone = [raw.images.pixels for raw in data.train_dataloader()]
    data.num_workers = 1
    for raw, pixels in zip(data.train_dataloader(), alone, strict=True):
        assert torch.equal(raw.images.pixels, pixels)


def test_digits_share_no_image_between_splits() -> None:
    data = digits()
    images = [
        {data.image(split, row).tobytes() for row in range(len(part.label))}
        for split, part in data.splits.items()
    ]
    assert sum(map(len, images)) == 1797 == len(set().union(*images))


def test_number_of_patches_can_be_asked_for_in_evaluation() -> None:
    data = digits()
    raw = next(iter(data.test_dataloader()))
    assert set(data.make_batch(raw, training=False).sets.sizes) == {36}
    assert set(data.make_batch(raw, training=False, patches=7).sets.sizes) == {7}  # type: ignore[call-arg]


def test_patch_larger_than_the_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.patch_size: 9 .* only 8"):
        Digits(64, 0, patch_size=9).setup()


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.2), (0.5, 0.0)])
def test_rows_are_shared_out_by_fraction(val: float, test: float) -> None:
    rows = split_rows(100, val, test, seed=0)
    assert {name: len(part) for name, part in rows.items()} == {
        "test": round(100 * test),
        "val": round(100 * val),
        "train": 100 - round(100 * test) - round(100 * val),
    }
    assert sorted(np.concatenate(list(rows.values()))) == list(range(100))


def test_groups_stay_together_and_classes_keep_their_share() -> None:
    label = np.repeat([0, 1], [40, 20])
    group = [str(row // 2) for row in range(60)]
    rows = split_groups(group, label, val=0.2, test=0.2, seed=0)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(60))
    for part in rows.values():
        assert (part[::2] + 1 == part[1::2]).all()
    assert np.bincount(label[rows["test"]]).tolist() == [8, 4] == np.bincount(label[rows["val"]]).tolist()


def test_another_seed_shares_groups_out_in_another_way() -> None:
    group = [str(row) for row in range(40)]
    label = np.arange(40) % 2
    tests = [tuple(split_groups(group, label, val=0.2, test=0.2, seed=seed)["test"]) for seed in (0, 0, 1, 2)]
    assert tests[0] == tests[1] and len(set(tests)) == 3

"""No image, window or digit of one split is seen in another; every data set gives what a task expects."""

from functools import cache

import numpy as np
import pytest
import torch

from patchsets.data.bags import Bags
from patchsets.data.batch import Batch
from patchsets.data.digits import Digits, read_digits
from patchsets.data.image_sets import ImageSets
from patchsets.data.synthetic import MaxRegression, Needle
from patchsets.data.textures import CLASSES, Textures, read_photograph
from patchsets.data.vector_sets import VectorSets

SMALL = (20, 10, 10)


def make(name: str) -> ImageSets | VectorSets:
    data: ImageSets | VectorSets = {
        "digits": lambda: Digits(64, 0, patches=[1, 36]),
        "textures": lambda: Textures(16, 0, patches=4, windows=SMALL),
        "bags": lambda: Bags(8, 0, 30, 20, 20),
        "needle": lambda: Needle(32, 0, 90, 40, 40),
        "max_regression": lambda: MaxRegression(32, 0, steps_per_epoch=3, test_sets=100),
    }[name]()
    data.prepare_data()
    data.setup()
    data.setup("test")
    return data


NAMES = ["digits", "textures", "bags", "needle", "max_regression"]


@pytest.mark.parametrize("name", NAMES)
def test_loaders_give_every_example_once_with_its_row(name: str) -> None:
    data = make(name)
    for split in ("train", "val", "test"):
        loader = getattr(data, f"{split}_dataloader")()
        batches: list[Batch] = [data.make_batch(raw, training=split == "train") for raw in loader]
        rows = torch.cat([batch.index for batch in batches])
        assert rows.sort().values.equal(torch.arange(len(loader.dataset)))
        assert split == "train" or rows.equal(torch.arange(len(rows)))
        for batch in batches:
            assert (
                batch.sets.values.shape[1] == data.num_features and batch.sets.values.dtype == torch.float32
            )
            assert len(batch.label) == len(batch.index) == len(batch.sets)
            assert batch.label.dtype == (torch.int64 if data.classes else torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_the_same_every_time(name: str) -> None:
    data = make(name)
    first, second = (
        [data.make_batch(raw, training=False) for raw in data.val_dataloader()] for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.sets.values, other.sets.values) and torch.equal(one.label, other.label)


@pytest.mark.parametrize("name", NAMES)
def test_fingerprint_is_plain_and_repeats(name: str) -> None:
    import json

    one, other = make(name).fingerprint(), make(name).fingerprint()
    assert one == other == json.loads(json.dumps(one))


def test_fingerprint_differs_with_the_data() -> None:
    needles = [Needle(32, 0, 90, 40, 40, data_seed=seed) for seed in (0, 1)]
    for data in needles:
        data.setup()
    assert needles[0].fingerprint()["test"] != needles[1].fingerprint()["test"]


def test_textures_share_no_column_between_splits() -> None:
    """Find where each window was cut from, in the photograph itself."""
    data = Textures(16, 0)
    data.setup()
    columns: dict[str, set[int]] = {}
    for split, part in data.splits.items():
        lefts = {
            _left(data.image(split, row), CLASSES[label]) for row, label in enumerate(part.label.tolist())
        }
        columns[split] = {column for left in lefts for column in range(left, left + 96)}
    assert sum(map(len, columns.values())) == len(set().union(*columns.values())) == 512


_photograph = cache(read_photograph)


def _left(window: np.ndarray, name: str) -> int:
    """Return the column a window begins at: its first row is found in no other place."""
    photograph = _photograph(name)
    top, left = divmod(photograph.tobytes().find(window[0].tobytes()), photograph.shape[1])
    assert np.array_equal(photograph[top : top + 96, left : left + 96], window)
    return left


def test_bags_hold_what_their_label_says_and_share_no_digit() -> None:
    data = make("bags")
    seen: dict[str, set[bytes]] = {}
    nine = {image.tobytes() for image, digit in zip(*read_digits(), strict=True) if digit == 9}
    for split, part in data.splits.items():
        elements = [values.numpy().tobytes() for values in part.values]
        seen[split] = set(elements)
        assert [element in nine for element in elements] == part.element_label.bool().tolist()
        has_nine = [bool(x.any()) for x in part.element_label.split(part.lengths.tolist())]
        assert has_nine == part.label.bool().tolist()
        assert part.label.float().mean() == 0.5 and part.lengths.min() >= 1
    assert (
        not seen["train"] & seen["val"]
        and not seen["train"] & seen["test"]
        and not seen["val"] & seen["test"]
    )


def test_largest_number_is_the_target() -> None:
    data = make("max_regression")
    for training, loader in ((True, data.train_dataloader()), (False, data.test_dataloader())):
        for raw in loader:
            batch = data.make_batch(raw, training)
            assert torch.stack([x.max() for x in batch.sets.split()]).equal(batch.label)
            assert min(batch.sets.sizes) >= 1 and max(batch.sets.sizes) <= 10


def test_bags_are_of_the_sizes_asked_for() -> None:
    """Mean 10 and standard deviation 2 of 1,000 bags are known to 0.07 and 0.05."""
    data = Bags(8, 0, train_bags=1000)
    data.setup()
    sizes = data.splits["train"].lengths.float()
    assert sizes.mean() == pytest.approx(10, abs=0.3)
    assert sizes.std() == pytest.approx(2.02, abs=0.2)  # rounding adds 1/12 to the variance
    assert [len(part.label) for part in data.splits.values()] == [1000, 200, 500]


def test_bags_with_a_nine_hold_as_many_as_come() -> None:
    """Of 10 digits a tenth of which are nines, given one: 1.54 on average, known to 0.02 by 2,000 bags."""
    data = Bags(8, 0, train_bags=4000)
    data.setup()
    train = data.splits["train"]
    nines = train.element_label.sum() / train.label.sum()
    assert nines == pytest.approx(1 / (1 - 0.9**10), abs=0.1)

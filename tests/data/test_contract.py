"""What the training relies on, of every data set: its members, its loaders, its randomness, its device."""

import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from patchsets.data.bags import Bags
from patchsets.data.digits import Digits
from patchsets.data.synthetic import MaxRegression, Needle
from patchsets.data.textures import Textures
from workbench.common.errors import ConfigError
from workbench.train.loading import EpochSampler, SetData

MAKE: dict[str, Any] = {
    "digits": lambda workers=0: Digits(100, 0, patches=[1, 36], num_workers=workers),
    "textures": lambda workers=0: Textures(16, 0, patches=4, windows=(20, 10, 10), num_workers=workers),
    "bags": lambda workers=0: Bags(8, 0, 30, 20, 20, num_workers=workers),
    "needle": lambda workers=0: Needle(32, 0, 90, 40, 40, num_workers=workers),
    "max_regression": lambda workers=0: MaxRegression(
        32, 0, steps_per_epoch=3, test_sets=400, num_workers=workers
    ),
}
every_data_set = pytest.mark.parametrize("name", MAKE)
image_data_set = pytest.mark.parametrize("name", ["digits", "textures"])


def make(name: str, workers: int = 0) -> Any:
    data = MAKE[name](workers)
    data.prepare_data()
    data.setup()
    return data


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors in what a loader or `make_batch` gives."""
    if isinstance(value, Tensor):
        return [value]
    parts = vars(value).values() if hasattr(value, "__dict__") else []
    return [tensor for part in parts for tensor in tensors(part)]


@every_data_set
def test_members_are_those_a_task_expects(name: str) -> None:
    data: SetData = make(name)
    wanted = {member for member in vars(SetData) if not member.startswith("_")} | set(SetData.__annotations__)
    assert {"make_batch", "num_features", "classes", "image", "fingerprint"} <= wanted
    for member in wanted:
        assert hasattr(data, member), member
        if callable(declared := getattr(SetData, member, None)):
            expected = inspect.signature(declared).parameters
            found = inspect.signature(getattr(type(data), member)).parameters
            assert list(found)[: len(expected)] == list(expected), member


@every_data_set
def test_two_workers_give_what_none_gives(name: str) -> None:
    for split in ("train", "val"):
        alone, by_workers = (
            [tensors(raw) for raw in getattr(make(name, workers), f"{split}_dataloader")()]
            for workers in (0, 2)
        )
        assert len(alone) == len(by_workers) > 1
        for one, other in zip(alone, by_workers, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@every_data_set
def test_loaders_can_be_sent_to_workers_that_are_started_anew(name: str) -> None:
    """Pickle what macOS and Windows send to a worker."""
    dataset = make(name).train_dataloader().dataset
    sent = pickle.loads(pickle.dumps(dataset))
    for one, other in zip(
        tensors(dataset.__getitems__([3, 1])), tensors(sent.__getitems__([3, 1])), strict=True
    ):
        assert torch.equal(one, other)


@image_data_set
def test_images_travel_whole_and_as_bytes(name: str) -> None:
    data = make(name)
    raw = next(iter(data.train_dataloader()))
    assert raw.images.pixels.dtype == torch.uint8
    for place, row in enumerate(raw.index.tolist()):
        assert (raw.images.array(place) == data.image("train", row)).all()


@every_data_set
def test_evaluation_draws_nothing(name: str) -> None:
    data = make(name)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    loader = data.test_dataloader()
    loader.generator = torch.Generator().manual_seed(0)  # as a task does: its workers' seed
    for raw in loader:
        data.make_batch(raw, training=False)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["digits", "textures", "max_regression"])
def test_each_epoch_draws_anew_and_repeats_with_the_seed(name: str) -> None:
    data = make(name)
    raw = next(iter(data.train_dataloader()))

    def drawn(seed: int, epoch: int) -> list[list[float]]:
        data.seed, data.epoch = seed, epoch
        return data.make_batch(raw, training=True).sets.values.tolist()

    assert drawn(0, 0) == drawn(0, 0) != drawn(0, 1) != drawn(1, 0) != drawn(0, 0)


@every_data_set
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_made_on_another_device(name: str, training: bool) -> None:
    """Let every tensor that is made without saying where lie on `meta`, which mixes with no other."""
    data = make(name)
    raw = next(iter(data.train_dataloader() if training else data.test_dataloader()))
    with torch.device("meta"):
        batch = data.make_batch(raw, training)
    assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}


def test_background_is_left_out_on_the_device_too() -> None:
    data = Digits(64, 0, patches=3, min_contrast=0.3)
    data.setup()
    raw = next(iter(data.train_dataloader()))
    with torch.device("meta"):
        batch = data.make_batch(raw, training=True)
    assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}


@every_data_set
def test_the_last_batch_is_kept_however_small(name: str) -> None:
    data = make(name)
    loader = data.val_dataloader()
    sizes = [len(data.make_batch(raw, training=False).label) for raw in loader]
    full, rest = divmod(len(loader.dataset), data.batch_size)
    assert sizes == [data.batch_size] * full + [rest] * (rest > 0)
    assert len(loader) == len(sizes)


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        torch.rand(seed + epoch)  # what else is drawn in between does not matter
        return list(sampler)

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert orders == [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(one) for one in orders}) == 9
    assert all(sorted(one) == list(range(50)) for one in orders)


@pytest.mark.parametrize("kind", [Digits, Textures, Bags])
def test_splits_depend_on_their_own_seed_alone(kind: Any) -> None:
    def fingerprint(seed: int, split_seed: int) -> dict[str, Any]:
        data = kind(8, seed, split_seed=split_seed)
        data.setup()
        return data.fingerprint()

    assert fingerprint(0, 0) == fingerprint(1, 0)
    assert all(fingerprint(0, 0)[split] != fingerprint(0, 1)[split] for split in ("train", "val", "test"))


@pytest.mark.parametrize(
    ("mistaken", "said"),
    [
        (lambda: Digits(8, 0, stride=0), "data.stride: 0 is not"),
        (lambda: Digits(8, 0, patch_size=0), "data.patch_size: 0 is not"),
        (lambda: Textures(8, 0, window=97), "data.window: 97 is not from 1 to 96"),
        (lambda: Needle(8, 0, shifted=9, low=8), r"shifted \(9\) <= low \(8\)"),
    ],
)
def test_impossible_arguments_are_refused_by_name(mistaken: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mistaken()


def test_fingerprint_sees_how_elements_are_shared_out() -> None:
    """The same elements in sets of other sizes, the same bytes in images of other shapes, are other data."""
    bags, digits = make("bags"), make("digits")
    before = bags.fingerprint()["test"], digits.fingerprint()["test"]
    lengths, size = bags.splits["test"].lengths, digits.splits["test"].images.size
    longest = int(lengths.argmax())
    lengths[longest] -= 1
    lengths[longest - 1] += 1
    size[0] = torch.tensor([4, 16])
    assert bags.fingerprint()["test"] != before[0]
    assert digits.fingerprint()["test"] != before[1]

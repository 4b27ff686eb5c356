"""Training images and patches are augmented as they are asked for, and those of evaluation never."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import make_anomaly_folder, start
from PIL import Image
from torch import Tensor, nn

from patchsets.data import augmentation as module
from patchsets.data.anomaly import AnomalyImages
from patchsets.data.augmentation import WORDS, augmentation
from patchsets.data.batch import Batch
from patchsets.data.digits import Digits
from patchsets.data.folder import Folder
from patchsets.data.image_sets import ImageSets
from patchsets.task.augmented import show_augmented
from workbench.common.errors import ConfigError, UserError

SOME = torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def third(images: Tensor) -> Tensor:
    return images / 3


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Grey images of two classes, two neighbours in five of one size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 12 + number // 4), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def folder(photos: Path, **words: Any) -> Folder:
    return Folder(6, 0, str(photos), patch_size=4, stride=4, edge="shift", coordinates=False, **words)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_changes_images_by_torchs_random_numbers(word: str) -> None:
    augment = augmentation(word, "data.augment")
    assert augment is not None
    for images in (SOME, SOME[:, :1]):
        torch.manual_seed(3)
        changed = augment(images)
        assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= 1
        assert not torch.equal(changed, augment(images))
        torch.manual_seed(3)
        assert torch.equal(augment(images), changed)


def batches(data: ImageSets | AnomalyImages) -> tuple[Tensor, Tensor]:
    """Return what the network is given of one batch: in evaluation, and in training."""
    data.setup()
    raw = next(iter(data.train_dataloader()))
    both = [data.make_batch(raw, training) for training in (False, True)]
    plain, seen = (batch.sets.values if isinstance(batch, Batch) else batch.input for batch in both)
    return plain, seen


@pytest.mark.parametrize("at_once", [1, 300, 2**24])
def test_only_training_is_changed_and_nothing_is_rounded(
    at_once: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    good = make_anomaly_folder(tmp_path / "anomaly")
    for data in (
        folder(photos, augment=third),
        folder(photos, augment_patches=third),
        Digits(8, 0, patch_size=None, augment=[third]),
        AnomalyImages(str(good), 4, 0, image_size=8, augment=third),
    ):
        plain, seen = batches(data)
        assert plain.max() > 0.4 and torch.equal(seen, plain / 3)
    plain, seen = batches(folder(photos, augment=third, augment_patches=[third]))
    assert torch.equal(seen, plain / 3 / 3)


def test_few_images_are_held_as_floating_numbers_at_a_time(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 400)
    asked = []

    def note(images: Tensor) -> Tensor:
        asked.append(tuple(images.shape))
        return images

    data = folder(photos, augment=note)
    data.setup()
    data.make_batch(data.splits["train"].take(torch.arange(12)), training=True)
    assert sum(shape[0] for shape in asked) == 12
    assert max(np.prod(shape) for shape in asked) <= 400 and any(shape[0] > 1 for shape in asked)


def test_the_same_patches_are_drawn_of_augmented_images(photos: Path) -> None:
    """What an image's key draws does not depend on how many images are changed at a time."""
    positions = []
    for augment in (None, third):
        data = folder(photos, augment=augment, patches=3)
        data.setup()
        raw = data.splits["train"].take(torch.tensor([5, 0, 3]))
        positions.append(data.make_batch(raw, training=True).positions)
    assert torch.equal(*positions)


class Crop(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images[..., 1:]


def fails(images: Tensor) -> Tensor:
    raise ValueError("no\nroom")


WRONG = {
    "shape": (Crop(), r"data.augment: Crop: of images \[8, 3, 9, 9\] it makes \[8, 3, 9, 8\]"),
    "none": ([third, lambda images: None], r"data.augment\[1\]: <lambda>: of images .* NoneType"),
    "range": (lambda images: images * 5 - 2, r"leaves most values outside 0..1"),
    "nan": (lambda images: images / 0 * 0, r"leaves most values outside 0..1"),
    "error": (fails, r"data.augment: fails: ValueError: no room"),
}


@pytest.mark.parametrize(("asked", "line"), WRONG.values(), ids=WRONG)
def test_a_wrong_callable_is_one_line(asked: Any, line: str) -> None:
    augment = augmentation(asked, "data.augment")
    assert augment is not None
    state = torch.get_rng_state()
    with pytest.raises(ConfigError, match=line):
        augment.try_on((3, 9, 9))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_needs_colour_is_refused_for_grey_images_alone(photos: Path) -> None:
    kornia = pytest.importorskip("kornia.augmentation")
    jiggle = augmentation(kornia.ColorJiggle(hue=0.1), "data.augment")
    assert jiggle is not None
    jiggle.try_on((1, 9, 9), (3, 9, 9))
    with pytest.raises(ConfigError, match=r"data.augment_patches: ColorJiggle: ValueError: .*3, H, W"):
        folder(photos, augment_patches=kornia.ColorJiggle(hue=0.1)).find_files()
    data = Digits(
        8, 0, augment=kornia.ColorJiggle(hue=0.1)
    )  # whose channels nobody knows before they are read
    data.find_files()
    with pytest.raises(UserError, match=r"data.augment: ColorJiggle"):
        batches(data)


def test_what_mixes_images_is_refused() -> None:
    kornia = pytest.importorskip("kornia.augmentation")
    inside = kornia.AugmentationSequential(kornia.RandomHorizontalFlip(), kornia.RandomMixUpV2())
    with pytest.raises(ConfigError, match=r"data.augment\[0\]: AugmentationSequential: it mixes images"):
        augmentation([inside], "data.augment")


CROP = "data.augment=[flips,{_target_: kornia.augmentation.RandomCrop, size: [4,4]}]"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([CROP], r"data.augment\[1\]: RandomCrop: of images .* makes"),
        (
            ["data.augment=[{_target_: kornia.augmentation.RandomErasing, valu: 1}]"],
            r"data.augment\[0\].valu",
        ),
        (
            ["data.augment=[{_target_: kornia.io.load_image}]"],
            r"data.augment\[0\]._target_: .*trusted_targets",
        ),
        (
            ["data.augment_patches=flips", "data.patch_size=null", "model=cnn"],
            r"data.augment_patches: .* none",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(tmp_path: Path, words: list[str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        start(*words, f"outputs={tmp_path}/outputs")
    assert not (tmp_path / "outputs").exists()


def test_the_figure_has_what_is_augmented_and_leaves_random_numbers_alone(tmp_path: Path) -> None:
    good = AnomalyImages(str(make_anomaly_folder(tmp_path / "images")), 4, 0, image_size=8, augment="noise")
    neither, both = Digits(8, 0), Digits(8, 0, augment=third, augment_patches=third)
    heights = []
    for number, data in enumerate((neither, good, both)):
        data.setup()
        state = torch.get_rng_state()
        show_augmented(data, tmp_path / str(number))
        assert torch.equal(torch.get_rng_state(), state)
        if (path := tmp_path / str(number) / "figures" / "augmented.png").exists():
            with Image.open(path) as picture:
                heights.append(picture.size[1])
    assert len(heights) == 2 and heights[0] < heights[1]

"""The figure of what training sees: images, or patches, as they are and augmented."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from patchsets.data.augmentation import Augmentation
from patchsets.data.draws import example_keys
from workbench.common.files import appearing_whole

SHOWN = 8
CAPTION = "by turns: a row of the training split as it is, and beneath it as training sees it"


def show_augmented(data: Any, folder: Path) -> None:
    """Write figures/augmented.png where data augment anything; training's random numbers stay as they are."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shown = [image for row in _rows(data) for image in row]
    if not shown:
        return
    from patchsets import figures

    (folder / "figures").mkdir(parents=True, exist_ok=True)
    with appearing_whole(folder / "figures" / "augmented.png") as path:
        figures.samples(shown, "Augmented for training", CAPTION).savefig(path, format="png")


def _rows(data: Any) -> Iterator[Sequence[np.ndarray]]:
    augment, augment_patches = (getattr(data, name, None) for name in ("augment", "augment_patches"))
    if not (isinstance(augment, Augmentation) or isinstance(augment_patches, Augmentation)):
        return
    train = data.splits["train"]
    chosen = torch.linspace(0, len(train.label) - 1, SHOWN).long()
    images = train.take(chosen).images
    if isinstance(augment, Augmentation):
        yield [images.array(place) for place in range(SHOWN)]
        yield [_picture(image) for part in augment.of_images(images) for image in part.stacked()]
    if isinstance(augment_patches, Augmentation):
        patches = data.cutter.cut(images, 1, example_keys(data.seed, 0, chosen))[0].values
        yield [_picture(patch) for patch in patches]
        yield [_picture(patch) for patch in augment_patches(patches)]


def _picture(image_CHW: Tensor) -> np.ndarray:
    pixels = (image_CHW * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels

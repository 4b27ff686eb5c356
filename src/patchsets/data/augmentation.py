"""What changes the images of training before they are cut, and their patches after it, on their device.

Nothing is rounded on the way, and only a few images at a time are held as floating numbers.
Shapes: B images, or patches, of one size `[B, C, H, W]`, values in 0..1.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from patchsets.data.images import Images
from workbench.common.errors import ConfigError, UserError
from workbench.common.limits import Limit

Change = Callable[[Tensor], Tensor]  # [B, C, H, W] in 0..1, to the same

# Classes of kornia.augmentation, with their arguments, by a word.
WORDS: dict[str, dict[str, dict[str, Any]]] = {
    "mirror": {"RandomHorizontalFlip": {}},
    "flips": {"RandomHorizontalFlip": {}, "RandomVerticalFlip": {}},
    "turns": {"RandomRotation90": {"times": (0, 3), "p": 1.0}},  # by quarters, of what is square
    "shifts": {
        "RandomAffine": {"degrees": 10.0, "translate": (0.1, 0.1), "scale": (0.9, 1.1), "p": 1.0}
        | {"padding_mode": "border"}
    },
    "jitter": {"RandomBrightness": {"brightness": (0.8, 1.2)}, "RandomContrast": {"contrast": (0.8, 1.2)}},
    "noise": {"RandomGaussianNoise": {"std": 0.05, "p": 1.0}},
}
AT_ONCE = 2**24  # numbers that a step is given: 64 MB, or one image
TRIED = 8  # noisy images that a step is tried on


def _can_be(asked: Any) -> bool:
    items = asked if isinstance(asked, list) else [asked]
    return asked is None or all(
        item in WORDS if isinstance(item, str) else isinstance(item, dict) and "_target_" in item
        for item in items
    )


Augment = Annotated[Any, Limit(_can_be, f"{', '.join(WORDS)}, {{_target_: ...}}, a list of these, or null")]


@dataclass(frozen=True)
class Step:
    """One change, and the key that it is asked for under."""

    key: str
    change: Change

    def __call__(self, images: Tensor) -> Tensor:
        """Change images. Raises UserError where that fails, or changes their shape."""
        if isinstance(self.change, nn.Module):
            self.change.to(images.device)
        try:
            changed = self.change(images)
        except Exception as error:
            refused = self.refused(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise refused from error
        shape = list(getattr(changed, "shape", ())) or type(changed).__name__
        if shape != list(images.shape):
            raise self.refused(f"of images {list(images.shape)} it makes {shape}; their shape must stay")
        return changed.to(images.dtype)

    def refused(self, why: str) -> UserError:
        name = getattr(self.change, "__name__", type(self.change).__name__)
        return UserError(f"{self.key}: {name}: {why}")


class Augmentation:
    """Steps one after the other. What one leaves outside 0..1 is clipped; it draws from torch's generator."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Change images, or patches, of one size, as many as need be at a time."""
        parts = []
        for part in images.split(max(1, AT_ONCE // max(1, images[:1].numel()))):
            for step in self.steps:
                part = step(part).clamp(0, 1)
            parts.append(part)
        return torch.cat(parts)

    def of_images(self, images: Images) -> Iterator[Images]:
        """Give images of any sizes changed, as floating numbers: a few at a time, in their order."""
        for part in images.of_one_size(AT_ONCE):
            yield Images.from_tensor(self(part.stacked()))

    def try_on(self, *shapes: tuple[int, int, int]) -> None:
        """Change noise `[C, H, W]` of each shape; ConfigError where none of them can be changed."""
        refused = [reason for shape in shapes if (reason := self._refusal(shape)) is not None]
        if len(refused) == len(shapes):
            raise ConfigError(str(refused[0])) from refused[0]

    @torch.no_grad()
    def _refusal(self, shape: tuple[int, int, int]) -> UserError | None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            images = torch.rand(TRIED, *shape)
            for step in self.steps:
                try:
                    changed = step(images)
                except UserError as error:
                    return error
                images = changed.clamp(0, 1)
                if not changed.isfinite().all() or (changed != images).float().mean() > 0.5:
                    return step.refused("it leaves most values outside 0..1, where they must stay")
        return None


def augmentation(asked: Any, key: str) -> Augmentation | None:
    """Make what a key asks for: a word, a callable, or a list of both; ConfigError for anything else."""
    if asked is None or asked == []:
        return None
    keyed = (
        [(f"{key}[{place}]", item) for place, item in enumerate(asked)]
        if isinstance(asked, list)
        else [(key, asked)]
    )
    steps = [Step(place, change) for place, item in keyed for change in _changes(item, place)]
    for step in steps:
        kinds = [kind for part in _modules(step.change) for kind in type(part).__mro__]
        if any(kind.__name__ == "MixAugmentationBaseV2" for kind in kinds):
            raise ConfigError(str(step.refused("it mixes images, whose labels it cannot mix")))
    return Augmentation(steps)


def _changes(item: Any, key: str) -> list[Change]:
    if item in list(WORDS):
        kornia = importlib.import_module("kornia.augmentation")  # a second, which others need not wait for
        return [getattr(kornia, name)(**arguments) for name, arguments in WORDS[item].items()]
    if not callable(item):
        raise ConfigError(f"{key}: {item!r} is no callable, and none of {', '.join(WORDS)}")
    return [item]


def _modules(change: Change) -> list[nn.Module]:
    return list(change.modules()) if isinstance(change, nn.Module) else []

"""What a network learns from in one step."""

from dataclasses import dataclass

from torch import Tensor

from patchsets.set_module import Sets


@dataclass
class Batch:
    """B labelled sets; T elements in all."""

    sets: Sets  # values [T, D], or patches [T, C, h, w] with their places for a network that takes these
    label: Tensor  # [B] class, or number to regress
    index: Tensor  # [B] row of each example in its split
    positions: Tensor | None = None  # [T, 2] top-left pixel (y, x) of each patch in its image
    element_label: Tensor | None = None  # [T] what is known of each element

    @property
    def input(self) -> Sets:
        """What the network is given."""
        return self.sets


@dataclass
class ImageBatch:
    """B labelled whole images."""

    input: Tensor  # [B, C, H, W] in 0..1: what the network is given
    label: Tensor  # [B] class
    index: Tensor  # [B] row of each example in its split


def not_finite(batch: Batch | ImageBatch) -> dict[int, str]:
    """Say of each example that holds NaN or infinite numbers which and where, by its row in the split."""
    if isinstance(batch, ImageBatch):
        examples = list(batch.input.flatten(1)[:, None])
    else:
        examples = [one.flatten(1) for one in batch.sets.split()]
    found = {}
    for row, label, values in zip(batch.index.tolist(), batch.label, examples, strict=True):
        broken = (~values.isfinite()).nonzero()
        if not label.isfinite().all():
            found[row] = f"the label {label.tolist()}"
        elif len(broken):
            element, feature = broken[0].tolist()
            place = f"element {element}, feature {feature}"
            found[row] = (
                f"{values[element, feature]:g} at {place} ({len(broken)} of {values.numel()} numbers)"
            )
    return found

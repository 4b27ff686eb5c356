"""What a network learns from in one step."""

from dataclasses import dataclass

from torch import Tensor

from patchsets.set_module import Sets


@dataclass
class Batch:
    """B labelled sets; T elements in all."""

    sets: Sets  # values [T, D]
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

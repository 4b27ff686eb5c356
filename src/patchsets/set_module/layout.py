"""Where sets of different sizes lie in one row of elements.

Shapes: B sets, T elements of all sets, N elements of the largest set.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from workbench.common.errors import DataError
from workbench.common.private_parts import untraced

Value = TypeVar("Value")


class once(Generic[Value]):
    """Compute an attribute when first asked for: `cached_property` less its lock, which breaks graphs."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute = compute
        self.name = compute.__name__

    def __get__(self, owner: Any, _: type) -> Value:
        value = self.compute(owner)
        setattr(owner, self.name, value)
        return value


class Layout:
    """Where each set lies among the elements; shared by all `Sets` made from one another.

    Sizes that are known on the host stay there, so that a batch made on the CPU never makes the GPU wait.
    """

    def __init__(
        self, lengths: Tensor, total: int, sizes: tuple[int, ...] | None = None, equal: int | None = None
    ) -> None:
        self.lengths = lengths  # [B]
        self.total = total
        self.equal = equal  # the size of every set, where it is known to be the same
        if sizes is not None:
            self.sizes = sizes

    @once
    def sizes(self) -> tuple[int, ...]:
        """The lengths as integers: the only place where the host may have to wait for the GPU."""
        return tuple(self.lengths.tolist())

    @once
    def largest(self) -> int:
        return find_largest(self) if self.equal is None else self.equal

    @once
    def offsets(self) -> Tensor:
        return self.lengths.cumsum(0) - self.lengths

    @once
    def set_index(self) -> Tensor:
        sets = torch.arange(self.lengths.shape[0], device=self.lengths.device)
        return torch.repeat_interleave(sets, self.lengths, output_size=self.total)

    @once
    def position(self) -> Tensor:
        return torch.arange(self.total, device=self.lengths.device) - self.offsets[self.set_index]

    @once
    def padded_index(self) -> Tensor:
        """Where each element goes in the flattened padded batch `[B * N]`."""
        return self.set_index * self.largest + self.position

    @once
    def mask(self) -> Tensor:
        return torch.arange(self.largest, device=self.lengths.device) < self.lengths[:, None]

    def to(self, device: torch.device, non_blocking: bool) -> "Layout":
        if device == self.lengths.device:
            return self
        sizes = None if self.equal is not None and "sizes" not in self.__dict__ else self.sizes
        return Layout(self.lengths.to(device, non_blocking=non_blocking), self.total, sizes, self.equal)


@untraced  # traced, the sizes of every batch would be a new graph
def find_largest(layout: Layout) -> int:
    return max(layout.sizes, default=0)


def lay_out(lengths: Tensor, total: int) -> Layout:
    """Check the lengths and learn the sizes where that costs nothing: on the CPU."""
    if lengths.device.type != "cpu" or torch.compiler.is_compiling():
        return Layout(lengths, total)
    sizes = tuple(lengths.tolist())
    if lengths.dtype != torch.int64 or sum(sizes) != total or min(sizes, default=0) < 0:
        raise DataError(
            f"lengths are {lengths.dtype}, from {min(sizes, default=0)} on, adding up to {sum(sizes)}; "
            f"for {total} elements give int64 sizes of 0 or more that add up to {total}"
        )
    return Layout(lengths, total, sizes, sizes[0] if len(set(sizes)) == 1 else None)

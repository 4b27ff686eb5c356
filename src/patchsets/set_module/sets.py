"""The one type of this room: a batch of sets of different sizes, their elements one after the other.

Shapes: B sets, T elements of all sets, N elements of the largest set, `...` the shape of one element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from workbench.common.errors import DataError
from workbench.common.private_parts import register_tree, untraced

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

    def to(self, device: torch.device, non_blocking: bool) -> Layout:
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


@dataclass(frozen=True, eq=False)
class Sets:
    """B sets: `values` `[T, ...]`, the elements of all of them in turn, and their `lengths` `[B]`.

    `places` `[T, 2]`, where they are known, say where in its image each element lies (y, x from -1 to 1).
    Lengths may stay on the CPU when the values are on a GPU: they are copied there, and nothing waits.
    Raises `DataError` when the lengths do not add up to T (checked wherever the lengths are on the CPU).
    """

    values: Tensor
    lengths: Tensor
    layout: Layout = field(default=None, repr=False)  # type: ignore[assignment]
    places: Tensor | None = None

    def __post_init__(self) -> None:
        if self.layout is None:
            layout = lay_out(self.lengths, self.values.shape[0]).to(self.values.device, non_blocking=True)
            object.__setattr__(self, "layout", layout)
            object.__setattr__(self, "lengths", layout.lengths)

    @classmethod
    def from_padded(cls, x_BN: Tensor, mask_BN: Tensor | None = None) -> Sets:
        """Take the elements where the mask is True; without a mask all N of every set `[B, N, ...]`.

        What stands in the padding is dropped, not multiplied by zero: NaN there changes nothing, and its
        gradient is exactly zero. On a GPU the mask makes the host wait once, as any such selection does.
        """
        if mask_BN is None:
            return cls._equal(x_BN)
        if mask_BN.dtype != torch.bool or mask_BN.shape != x_BN.shape[:2]:
            raise DataError(
                f"the mask is {mask_BN.dtype} {list(mask_BN.shape)}; "
                f"give torch.bool {list(x_BN.shape[:2])}, True for a real element"
            )
        return cls(x_BN[mask_BN], mask_BN.sum(1))

    @classmethod
    def _equal(cls, x_BN: Tensor) -> Sets:
        B, N = x_BN.shape[:2]
        lengths = torch.full((B,), N, device=x_BN.device)
        return cls(x_BN.flatten(0, 1), lengths, Layout(lengths, B * N, equal=N))

    @classmethod
    def from_list(cls, one_by_one: Sequence[Tensor]) -> Sets:
        """Take one tensor `[n, ...]` for each set; DataError where there is none, or their shapes differ."""
        if not one_by_one:
            raise DataError("from_list: give one tensor at least, of which the shape of an element is known")
        if len({one.shape[1:] for one in one_by_one}) > 1:
            shapes = sorted({str(list(one.shape[1:])) for one in one_by_one})
            raise DataError(f"from_list: the elements have different shapes: {', '.join(shapes)}")
        return cls(torch.cat(list(one_by_one)), torch.tensor([len(one) for one in one_by_one]))

    @classmethod
    def cat(cls, parts: Sequence[Sets]) -> Sets:
        """Put the sets of several batches after one another; they have places where all of the parts do."""
        places = [part.places for part in parts if part.places is not None]
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat([part.lengths for part in parts]),
            places=torch.cat(places) if 0 < len(places) == len(parts) else None,
        )

    def __getitem__(self, which: int | slice | Sequence[int] | Tensor) -> Any:
        """Return one set's elements `[n, ...]`, or some of the sets, by a slice, numbers or flags."""
        if isinstance(which, int):
            first = int(self.offsets[which])
            return self.values[first : first + int(self.lengths[which])]
        chosen = torch.arange(len(self), device=self.values.device)[which]
        lengths = self.lengths[chosen]
        within = torch.arange(int(lengths.sum()), device=self.values.device)
        begin = self.offsets[chosen] - (lengths.cumsum(0) - lengths)
        element = within + torch.repeat_interleave(begin, lengths)
        return Sets(
            self.values[element], lengths, places=None if self.places is None else self.places[element]
        )

    def __iter__(self) -> Iterator[Tensor]:
        """Go through the sets, one tensor `[n, ...]` for each."""
        return iter(self.split())

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def batch_size(self) -> int:
        """B, as a plain number or a traced one: `len()` would fix it when a network is exported."""
        return self.lengths.shape[0]

    @property
    def set_index(self) -> Tensor:
        """Which set each element belongs to `[T]`."""
        return self.layout.set_index

    @property
    def position(self) -> Tensor:
        """Which place each element has in its set, from 0 `[T]`."""
        return self.layout.position

    @property
    def offsets(self) -> Tensor:
        """Where each set begins `[B]`."""
        return self.layout.offsets

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths as integers; on a GPU the host waits for them once, unless they came from the CPU."""
        return self.layout.sizes

    def with_values(self, values: Tensor) -> Sets:
        """Return sets of the same lengths and places with other values `[T, ...]`."""
        return Sets(values, self.lengths, self.layout, self.places)

    def with_places(self, places: Tensor) -> Sets:
        """Return the same sets, their elements at these places `[T, 2]`."""
        return Sets(self.values, self.lengths, self.layout, places)

    def as_vectors(self) -> Sets:
        """Return each element as a vector `[D]`: what is in it, then its place where that is known.

        Patches `[C, h, w]` are read row by row, the channels of a pixel together. The places stand in the
        vectors from then on, and nowhere else.
        """
        values = self.values.permute(0, 2, 3, 1).flatten(1) if self.values.dim() == 4 else self.values
        if self.places is not None:
            values = torch.cat([values, self.places], dim=1)
        return Sets(values, self.lengths, self.layout)

    def padded(self) -> tuple[Tensor, Tensor]:
        """Return `[B, N, ...]` with zeros after the last element, and the mask `[B, N]` of real elements."""
        return self.pad(), self.layout.mask

    def pad(self) -> Tensor:
        """Return `[B, N, ...]` with zeros after the last element."""
        shape = (self.batch_size, self.layout.largest)
        if self.layout.equal is not None:
            return self.values.unflatten(0, shape)
        flat = self.values.new_zeros(shape[0] * shape[1], *self.values.shape[1:])
        return flat.index_copy(0, self.layout.padded_index, self.values).unflatten(0, shape)

    def from_pad(self, x_BN: Tensor) -> Tensor:
        """Undo `pad`: the real elements `[T, ...]` of `[B, N, ...]`."""
        flat = x_BN.flatten(0, 1)
        return flat if self.layout.equal is not None else flat.index_select(0, self.layout.padded_index)

    def spread(self, x_B: Tensor) -> Tensor:
        """Give every element what belongs to its set: `[B, ...]` to `[T, ...]`."""
        if self.layout.equal is not None:
            return x_B.repeat_interleave(self.layout.equal, 0)
        return x_B.index_select(0, self.set_index)

    def split(self) -> tuple[Tensor, ...]:
        """Return one tensor per set."""
        return self.values.split(self.sizes)

    def to(self, target: torch.device | str | torch.dtype, non_blocking: bool = False) -> Sets:
        """Move everything to a device, or the values to a dtype."""
        values = self.values.to(target, non_blocking=non_blocking)
        layout = self.layout.to(values.device, non_blocking)
        places = None if self.places is None else self.places.to(values.device, non_blocking=non_blocking)
        return Sets(values, layout.lengths, layout, places)

    def pin_memory(self) -> Sets:
        """Pin the values, so that a loader's copy to a GPU does not wait."""
        return self.with_values(self.values.pin_memory())


def _parts(sets: Sets) -> list[Tensor]:
    return [sets.values, sets.lengths, *([] if sets.places is None else [sets.places])]


def _from_parts(values: Any, lengths: Any, places: Any = None) -> Sets:
    """Make sets of what a function made of each part, which need be no tensor."""
    if isinstance(values, Tensor) and isinstance(lengths, Tensor):
        return Sets(values, lengths, places=places)
    raw = object.__new__(Sets)
    raw.__dict__.update(values=values, lengths=lengths, layout=None, places=places)
    return raw


register_tree(Sets, _parts, _from_parts)  # for tree_map and torch.export

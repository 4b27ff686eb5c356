"""The test split as a network answered it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Judged:
    """The test split as it was answered: outputs `[N, classes]`, labels `[N]`, rows in the split `[N]`."""

    output: Tensor
    label: Tensor
    index: Tensor

"""Training values, kept as tensors and read together: to read one each step would stall a GPU."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """One training step: where it was, its values (scalars by name) and the rows of its examples."""

    step: int
    batch: int
    values: dict[str, Tensor]
    examples: Tensor


@dataclass
class BadStep:
    """The first step whose loss is NaN or infinite."""

    step: int
    batch: int
    loss: float
    examples: list[int]


class StepLog:
    """Collects the values of the steps since the last reading, and their mean over the epoch by set."""

    def __init__(self) -> None:
        self._waiting: list[Step] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, batch: int, values: dict[str, Tensor], examples: Tensor) -> None:
        """Keep the values of one step; costs no synchronisation."""
        self._waiting.append(Step(step, batch, values, examples))

    def read(self) -> tuple[dict[str, float], BadStep | None]:
        """Return the newest step's values, and the first step with a loss that is not finite."""
        if not self._waiting:
            return {}, None
        names = list(self._waiting[0].values)
        rows = torch.stack([torch.stack(tuple(s.values.values())).float() for s in self._waiting]).tolist()
        bad = next(
            (self._bad(s, row) for s, row in zip(self._waiting, rows, strict=True) if not _finite(row[0])),
            None,
        )
        for step, row in zip(self._waiting, rows, strict=True):
            size = len(step.examples)
            self._count += size
            for name, value in zip(names, row, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + value * size
        self._waiting.clear()
        return dict(zip(names, rows[-1], strict=True)), bad

    def means(self) -> dict[str, float]:
        """Return the epoch's means, each set counting once whatever its batch, and begin anew."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def _bad(self, step: Step, row: list[float]) -> BadStep:
        return BadStep(step.step, step.batch, row[0], step.examples.tolist())


def _finite(value: float) -> bool:
    return value - value == 0

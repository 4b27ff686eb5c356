"""Types of arguments with limits, which a configuration is checked against before anything is made.

def __init__(self, width: AboveZero, dropout: Share = 0.0, kind: Literal["max", "mean"] = "max") -> None:
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Limit:
    """What holds of a value, and how that is said after "is not"."""

    holds: Callable[[Any], bool]
    wanted: str


def _is_size(value: Any) -> bool:
    sides = value if isinstance(value, list) else [value, value]
    return len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)


AboveZero = Annotated[int, Limit(lambda value: value > 0, "a number above 0")]
ZeroOrMore = Annotated[float, Limit(lambda value: value >= 0, "0 or more")]
Share = Annotated[float, Limit(lambda value: 0 <= value < 1, "at least 0 and below 1")]
OpenShare = Annotated[float, Limit(lambda value: 0 < value < 1, "above 0 and below 1")]
ListAboveZero = Annotated[
    list[int], Limit(lambda value: bool(value) and min(value) > 0, "a list of numbers above 0")
]
ImageSize = Annotated[int | list[int], Limit(_is_size, "a number above 0, or [height, width]")]

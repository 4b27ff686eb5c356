"""What inference.py is told."""

from dataclasses import dataclass

from patchsets.errors import ConfigError
from patchsets.schema import POOLINGS


@dataclass
class Words:
    """The keys that may be typed, or stand in config/inference.yaml."""

    model: str | None = None
    input: str | None = None
    output: str | None = None
    threshold: float | None = None
    pooling: str | None = None
    heat_maps: bool = False
    batch_size: int = 16

    def check(self) -> None:
        """Raise ConfigError for what can be found wrong before anything is loaded."""
        for key in ("model", "input", "output"):
            if not getattr(self, key):
                raise ConfigError(f"{key}: missing; write input=<folder> output=<folder>")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size: {self.batch_size} is not a number above 0")
        if self.pooling not in (None, *POOLINGS):
            raise ConfigError(f"pooling: there is no {self.pooling}; there is {', '.join(POOLINGS)}")

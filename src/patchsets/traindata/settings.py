"""What create_traindata.py is told."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from patchsets.data.layout import FITS
from workbench.common.errors import ConfigError

PATHS = ("good", "anomaly", "masks", "input", "output", "check")


@dataclass
class Words:
    """The keys that may be typed, or stand in config/create_traindata.yaml."""

    good: str | None = None
    anomaly: str | None = None
    masks: str | None = None
    input: str | None = None
    output: str | None = None
    check: str | None = None
    size: Any = 256
    fit: str = "stretch"
    region: str | None = None
    tile: int | None = None
    test_fraction: float = 0.2
    group: str | None = None
    synthesize: bool = False
    per_kind: int = 20
    seed: int = 0

    def refuse_mistakes(self) -> None:
        """Raise ConfigError for what can be found wrong before any image is read."""
        self._refuse_folders()
        if self.fit not in FITS:
            raise ConfigError(f"fit: {self.fit!r} is neither {' nor '.join(FITS)}")
        self.image_size()
        for name in ("tile", "per_kind"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: {value} is not a number above 0")
        if self.seed < 0:
            raise ConfigError(f"seed: {self.seed} is not 0 or more")
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction: {self.test_fraction} is not between 0 and 1")
        self.box()
        self.pattern()

    def _refuse_folders(self) -> None:
        if not self.output:
            raise ConfigError("output: missing; say where the data set is to be made: output=<folder>")
        if bool(self.good) == bool(self.input):
            raise ConfigError("good: give good=<folder of good images>, or input=<data set>, and not both")
        if self.input and (self.anomaly or self.masks):
            raise ConfigError(
                "input: a data set has anomalies and masks of its own; leave anomaly= and masks= out"
            )
        if self.masks and not self.anomaly:
            raise ConfigError("masks: they belong to anomalous images; give anomaly=<folder> too")
        if self.synthesize and (self.anomaly or self.input):
            raise ConfigError("synthesize: it is for where there are no anomalies; leave it or anomaly= out")

    def image_size(self) -> int | list[int]:
        """Return the size: of both sides, or height and width. Raises ConfigError where it is none."""
        text = str(self.size).strip()
        sides = [int(side) for side in re.findall(r"\d+", text)]
        if not re.fullmatch(r"\d+|[\[(]?\s*\d+\s*,\s*\d+\s*[\])]?", text) or min(sides) < 1:
            raise ConfigError(f"size: {text} is neither a number above 0 nor height,width")
        return sides if len(sides) == 2 else sides[0]

    def box(self) -> tuple[int, int, int, int] | None:
        """Return the region as left, top, right, bottom. Raises ConfigError where it is none."""
        if self.region is None:
            return None
        numbers = re.findall(r"\d+", self.region)
        if not re.fullmatch(r"\s*[\[(]?\s*\d+(\s*,\s*\d+){3}\s*[\])]?\s*", self.region):
            raise ConfigError(f"region: {self.region} is not left,top,right,bottom in pixels")
        left, top, right, bottom = map(int, numbers)
        if left >= right or top >= bottom:
            raise ConfigError(f"region: {self.region} is empty; it is left,top,right,bottom in pixels")
        return left, top, right, bottom

    def pattern(self) -> re.Pattern[str] | None:
        """Return what finds a file's group in its name. Raises ConfigError where it cannot be read."""
        try:
            return None if self.group is None else re.compile(self.group)
        except re.error as error:
            raise ConfigError(f"group: {self.group} is no regular expression ({error})") from error

    def parameters(self) -> dict[str, Any]:
        """Return what decides about the images beside the folders they come from."""
        kept = {name: value for name, value in asdict(self).items() if name not in PATHS}
        return kept | {"size": self.image_size()}

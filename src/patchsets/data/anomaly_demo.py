"""The demonstration set that needs no download: photographs of scikit-image's wheel, defects painted on.

Train, validation and test images come from different columns of a photograph, interleaved because brick and
grass change from left to right. Every test anomaly has a clean twin in test/good: the same place, light and
noise. Each image has a random stream of its own, so that another count changes no other image.

The demonstration set for anomaly detection, made once from photographs that come with scikit-image.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from patchsets.data.anomaly import AnomalyImages
from patchsets.data.defects import Canvas, add_defect
from patchsets.data.image_files import write_image
from patchsets.data.layout import Row, sha256_of, write_manifest
from patchsets.data.textures import read_photograph
from workbench.common.cache import cached
from workbench.common.errors import ConfigError, nearest
from workbench.common.limits import AboveZero, ImageSize

VERSION = 2  # to be raised when other images are made of the same parameters
SIDE = 64  # pixels
TEST_KINDS = ("texture", "cut_paste", "scar", "scratch", "spot", "stain")
VAL_KINDS = ("missing", "blur")  # none that the test has: they choose a threshold, they do not rehearse
FOREIGN = ("coins", "camera", "moon", "page")  # textures to blend in
COLUMNS = ("train", "val", "train", "test", "train")  # what the columns of a photograph are for


@dataclass(frozen=True)
class Category:
    """How good images of a category are taken from its photograph."""

    photograph: str
    contrast: tuple[float, float]  # of defects, in standard deviations of the photograph
    angle: float  # largest rotation, degrees
    scale: tuple[float, float] = (0.85, 1.15)
    mirrored: bool = False  # a texture that looks alike in a mirror
    centre: tuple[float, float] | None = (
        None  # of an aligned part (x, y): else anywhere in the split's columns
    )
    step: float = 1.0  # pixels of the photograph for one of the image
    jitter: float = 0.0  # of an aligned part's place, pixels of the image


CATEGORIES = {
    "part": Category("coffee", (1.0, 2.5), angle=3, scale=(1, 1), centre=(285, 180), step=5, jitter=2),
    "brick": Category("brick", (2.0, 4.0), angle=8),
    "gravel": Category("gravel", (1.5, 3.5), angle=8, mirrored=True),
    "grass": Category("grass", (1.5, 3.0), angle=8, mirrored=True),
}


@dataclass(frozen=True)
class Counts:
    """How many images: good ones of train and val, and anomalies of each kind in val and test."""

    train: int
    val: int
    per_kind: int


def make_demo(folder: Path, category: str, counts: Counts, seed: int) -> None:
    """Fill a folder with train/good, val, test and ground_truth as PNG, and the manifest."""
    maker = _Maker(folder, category, seed)
    for split, count in {"train": counts.train, "val": counts.val}.items():
        for index in range(count):
            maker.good(split, "good", index, f"{index:04}")
    for split, kinds in {"val": VAL_KINDS, "test": TEST_KINDS}.items():
        for kind in kinds:
            for index in range(counts.per_kind):
                twin = maker.good(split, kind, index, f"{kind}_{index:03}") if split == "test" else ""
                maker.anomaly(split, kind, index, twin)
    write_manifest(folder, maker.rows)


class _Maker:
    def __init__(self, folder: Path, category: str, seed: int) -> None:
        self.folder, self.name, self.seed = folder, category, seed
        self.category = CATEGORIES[category]
        photograph = read_photograph(self.category.photograph) / 255
        self.deviation = float(photograph.std())
        low, high = np.percentile(photograph, (0.5, 99.5))
        self.limits = float(low), float(high)
        self.photograph = (
            gaussian_filter(photograph, 0.4 * self.category.step) if self._aligned else photograph
        )
        self.foreign = [read_photograph(name) / 255 for name in FOREIGN]
        self.rows: list[Row] = []

    @property
    def _aligned(self) -> bool:
        return self.category.centre is not None

    def good(self, split: str, kind: str, index: int, stem: str) -> str:
        """Write a good image, the twin of an anomaly where `kind` is a defect; return its path."""
        crop, box = self._crop(split, self._random(split, kind, index, "crop"))
        image = self._acquired(crop, split, kind, index)
        path = f"{split}/good/{stem}.png"
        self._keep(path, image, split, "good", box)
        return path

    def anomaly(self, split: str, kind: str, index: int, twin: str) -> None:
        """Write an image with a defect, and its mask."""
        random = self._random(split, kind, index, "defect")
        crop, box = self._crop(split, self._random(split, kind, index, "crop"))
        canvas = Canvas(
            crop[..., None],
            self._crop(split, random)[0][..., None],
            self._foreign(random),
            self.deviation,
            self.category.contrast,
            self.limits,
        )
        image, mask = add_defect(kind, canvas, random)
        path, mask_path = f"{split}/{kind}/{index:03}.png", f"ground_truth/{kind}/{index:03}_mask.png"
        write_image(self.folder / mask_path, mask.astype(np.uint8) * 255)
        self._keep(path, self._acquired(image[..., 0], split, kind, index), split, kind, box, mask_path, twin)

    def _random(self, *words: str | int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(repr((self.name, *words)).encode())])

    def _crop(self, split: str, random: np.random.Generator) -> tuple[np.ndarray, str]:
        """Take a square of the photograph that is the split's, and say from where."""
        category = self.category
        angle = np.radians(random.uniform(-category.angle, category.angle))
        step = category.step * random.uniform(*category.scale)
        reach = SIDE / 2 * step * (abs(np.cos(angle)) + abs(np.sin(angle)))  # of the turned square
        if category.centre is not None:
            x, y = category.centre + random.uniform(-1, 1, 2) * category.jitter * category.step
        else:
            x, y = self._place(split, reach, random)
        along = (np.arange(SIDE) - (SIDE - 1) / 2) * step
        v, u = np.meshgrid(along, along, indexing="ij")
        if category.mirrored and random.random() < 0.5:
            u = -u
        rows = y + u * np.sin(angle) + v * np.cos(angle)
        columns = x + u * np.cos(angle) - v * np.sin(angle)
        crop = map_coordinates(self.photograph, [rows, columns], order=1, mode="nearest")
        box = (round(side) for side in (x - reach, y - reach, x + reach, y + reach))
        return crop, " ".join(map(str, box))

    def _place(self, split: str, reach: float, random: np.random.Generator) -> tuple[float, float]:
        height, width = self.photograph.shape
        column = int(random.choice([number for number, name in enumerate(COLUMNS) if name == split]))
        left, right = column * width / len(COLUMNS), (column + 1) * width / len(COLUMNS)
        x = random.uniform(left + reach, right - 1 - reach)
        return x, random.uniform(reach, height - 1 - reach)

    def _foreign(self, random: np.random.Generator) -> np.ndarray:
        photograph = self.foreign[random.integers(len(self.foreign))]
        top, left = (random.integers(side - SIDE + 1) for side in photograph.shape)
        return photograph[top : top + SIDE, left : left + SIDE]

    def _acquired(self, image: np.ndarray, split: str, kind: str, index: int) -> np.ndarray:
        """Photograph it: gain, offset, uneven light, and noise of the sensor; the same for twins."""
        random = self._random(split, kind, index, "acquisition")
        gain, offset = random.uniform(0.94, 1.06), random.uniform(-0.03, 0.03)
        slope = random.uniform(-0.04, 0.04, 2)
        ramp = np.linspace(-0.5, 0.5, SIDE)
        light = slope[0] * ramp[:, None] + slope[1] * ramp
        seen = gain * image + offset + light + random.normal(0, 0.01, image.shape)
        return np.clip(seen * 255, 0, 255).round().astype(np.uint8)

    def _keep(
        self, path: str, image: np.ndarray, split: str, kind: str, box: str, mask: str = "", twin: str = ""
    ) -> None:
        file = self.folder / path
        write_image(file, image)
        source = f"{self.category.photograph}.png"
        group = path if self._aligned else f"{source} {split}"
        self.rows.append(Row(path, split, kind, mask, source, group, box, twin, sha256_of(file)))


def demo_parameters(category: str, counts: Counts, seed: int) -> Mapping[str, str | int]:
    """Return what tells one demonstration set from another."""
    return {"category": category, "seed": seed, "version": VERSION, **vars(counts)}


class AnomalyDemo(AnomalyImages):
    """Grey images of 64x64 pixels with six kinds of defects, in four categories of rising difficulty.

    part: an aligned object; brick: structured; gravel, grass: neither. Validation has two more kinds.
    """

    def __init__(
        self,
        category: str,
        batch_size: AboveZero,
        seed: int,
        image_size: ImageSize = 64,
        train: int = 400,
        val: int = 100,
        per_kind: int = 20,
        demo_seed: int = 0,
        **images: Any,
    ) -> None:
        """Take so many good images for train and val, and `per_kind` anomalies of each kind."""
        super().__init__(None, batch_size, seed, image_size, **images)
        if category not in CATEGORIES:
            close = nearest(category, list(CATEGORIES)) or f"; there is {', '.join(CATEGORIES)}"
            raise ConfigError(f"data.category: there is no {category}{close}")
        if min(train, val, per_kind) < 1:
            raise ConfigError("data.train, data.val and data.per_kind: each is a number above 0")
        self.category, self.demo_seed = category, demo_seed
        self.counts = Counts(train, val, per_kind)

    def prepare_data(self) -> None:
        """Make the images, unless they are in the cache."""
        self.folder()

    def folder(self) -> Path:
        """Return the folder that holds the images, made now or earlier."""
        parameters = demo_parameters(self.category, self.counts, self.demo_seed)
        return cached(
            "anomaly_demo",
            parameters,
            lambda folder: make_demo(folder, self.category, self.counts, self.demo_seed),
        )

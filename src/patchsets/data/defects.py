"""Smooth random fields and shapes that defects are made of; all lengths are fractions of the image's side.

Synthetic defects with their masks: what tests are made of where no defect was ever photographed.

Shapes: an image is `[H, W, C]`, float in 0..1. The trainer of the defect segmentation has its own generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter


def perlin(shape: tuple[int, int], cells: int, random: np.random.Generator) -> np.ndarray:
    """Return gradient noise `[H, W]` of about -1..1 with `cells` cells a side (Perlin, SIGGRAPH 1985)."""
    angle = random.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    gradient = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    y, x = np.meshgrid(*(np.arange(n) * cells / n for n in shape), indexing="ij")
    row, column = y.astype(int), x.astype(int)
    dy, dx = y - row, x - column
    corner = [
        (gradient[row + i, column + j] * np.stack([dy - i, dx - j], axis=-1)).sum(axis=-1)
        for i in (0, 1)
        for j in (0, 1)
    ]
    fade_y, fade_x = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (dy, dx))
    top = corner[0] + fade_x * (corner[1] - corner[0])
    bottom = corner[2] + fade_x * (corner[3] - corner[2])
    return np.sqrt(2) * (top + fade_y * (bottom - top))


def blob(shape: tuple[int, int], area: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """Return a connected patch of noise `[H, W]`, bool, that covers a share of the image within `area`."""
    radius = np.sqrt(random.uniform(*area) / np.pi)
    y, x = _coordinates(shape)
    top, left = random.uniform(0.15, 0.85, 2)
    distance = np.hypot(y - top, x - left) / radius
    return distance + 0.6 * perlin(shape, int(random.integers(3, 7)), random) < 1


def rectangle(shape: tuple[int, int], height: float, width: float, random: np.random.Generator) -> np.ndarray:
    """Return a rotated rectangle `[H, W]`, bool, somewhere inside."""
    y, x = _coordinates(shape)
    top, left = random.uniform(0.2, 0.8, 2)
    angle = random.uniform(0, np.pi)
    along = (y - top) * np.sin(angle) + (x - left) * np.cos(angle)
    across = (y - top) * np.cos(angle) - (x - left) * np.sin(angle)
    inside: np.ndarray = (np.abs(along) < width / 2) & (np.abs(across) < height / 2)
    return inside


def disc(shape: tuple[int, int], radius: float, random: np.random.Generator) -> np.ndarray:
    """Return a disc `[H, W]`, bool, somewhere inside."""
    y, x = _coordinates(shape)
    top, left = random.uniform(0.1, 0.9, 2)
    inside: np.ndarray = np.hypot(y - top, x - left) < radius
    return inside


def curve(shape: tuple[int, int], width: float, random: np.random.Generator) -> np.ndarray:
    """Return a cubic Bézier curve `[H, W]`, 0..1, with soft edges."""
    start, end = random.uniform(0.1, 0.9, (2, 2))
    bend = start + (end - start) * np.array([[1 / 3], [2 / 3]]) + random.normal(0, 0.15, (2, 2))
    t = np.linspace(0, 1, 4 * max(shape))[:, None]
    first, second = bend
    points = (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * first + 3 * t**2 * (1 - t) * second + t**3 * end
    row, column = (np.clip(points * shape, 0, np.array(shape) - 1)).astype(int).T
    line = np.zeros(shape)
    line[row, column] = 1
    soft = gaussian_filter(line, width * min(shape))
    return np.clip(soft / np.median(soft[row, column]), 0, 1)


def _coordinates(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of each pixel, both in units of the shorter side."""
    side = min(shape)
    y, x = np.meshgrid(*(np.arange(n) / side for n in shape), indexing="ij")
    return y, x


ATTEMPTS = 20
VISIBLE = 0.4  # of the least contrast: root mean square of the change within the mask
SHARE = (0.002, 0.4)  # of the image that a mask covers


@dataclass(frozen=True)
class Canvas:
    """What a defect is painted on, and with."""

    image: np.ndarray  # good [H, W, C]
    donor: np.ndarray  # another good one, same shape
    foreign: np.ndarray  # a texture of something else [H, W]
    deviation: float  # standard deviation of the good images' pixels: the unit of contrast
    contrast: tuple[float, float]  # least and largest, in that unit
    limits: tuple[float, float]  # no defect is darker or brighter: else the extremes would give it away

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def pixel(self) -> float:
        """How many pixels 1/64 of the shorter side is."""
        return min(self.shape) / 64

    def offset(self, random: np.random.Generator) -> float:
        """Draw a contrast, brighter or darker."""
        return float(random.choice([-1, 1]) * random.uniform(*self.contrast) * self.deviation)


Painted = tuple[np.ndarray, np.ndarray]  # what is seen where the defect is [H, W, C], and its weight [H, W]


def add_defect(kind: str, canvas: Canvas, random: np.random.Generator) -> Painted:
    """Return the image with a defect, and the mask `[H, W]` bool.

    One that would hardly be seen, or covers too little or too much, is drawn anew; the clearest is kept
    where none is clear enough. Raises ValueError where none is of a fit size.
    """
    best, clearest = None, -1.0
    for _ in range(ATTEMPTS):
        image, mask = _painted(kind, canvas, random)
        if not SHARE[0] <= mask.mean() <= SHARE[1]:
            continue
        change = float(np.sqrt(np.square(image - canvas.image)[mask].mean()))
        if change > clearest:
            best, clearest = (image, mask), change
        if change >= VISIBLE * canvas.contrast[0] * canvas.deviation:
            break
    if best is None:
        raise ValueError(f"no {kind} of a fit size in {ATTEMPTS} attempts")
    return best


def _painted(kind: str, canvas: Canvas, random: np.random.Generator) -> Painted:
    seen, weight = DEFECTS[kind](canvas, random)
    weight = weight[..., None].astype(float)
    return canvas.image + weight * (np.clip(seen, *canvas.limits) - canvas.image), weight[..., 0] > 0.3


def texture(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Blend in another texture where noise is high (DRAEM: Zavrtanik et al., ICCV 2021)."""
    noise = perlin(canvas.shape, int(random.choice([2, 4, 8])), random)
    weight = (noise > 0.35) * random.uniform(0.5, 1)
    standard = (canvas.foreign - canvas.foreign.mean()) / (canvas.foreign.std() + 1e-6)
    level = gaussian_filter(canvas.image, (4 * canvas.pixel, 4 * canvas.pixel, 0))
    return level + abs(canvas.offset(random)) / 2 * standard[..., None], weight


def cut_paste(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Paste a tinted rectangle of another image (CutPaste: Li et al., CVPR 2021)."""
    area, ratio = random.uniform(0.03, 0.10), random.uniform(0.4, 2.5)
    weight = rectangle(canvas.shape, np.sqrt(area * ratio), np.sqrt(area / ratio), random)
    return _turned(canvas.donor, random) + canvas.offset(random) / 3, weight


def scar(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Paste a long thin strip of another image, tinted (CutPaste's scar)."""
    weight = rectangle(canvas.shape, random.uniform(0.03, 0.08), random.uniform(0.2, 0.5), random)
    return _turned(canvas.donor, random) + canvas.offset(random) / 2, weight


def scratch(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Draw a thin soft curve, brighter or darker."""
    return canvas.image + canvas.offset(random), curve(canvas.shape, random.uniform(0.008, 0.016), random)


def spot(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Drop one to three discs, opaque or shining through."""
    discs = [disc(canvas.shape, random.uniform(0.03, 0.08), random) for _ in range(random.integers(1, 4))]
    ground = canvas.image if random.random() < 0.5 else np.median(canvas.image, axis=(0, 1))
    return ground + np.full_like(canvas.image, canvas.offset(random)), np.any(discs, axis=0)


def stain(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Blur and tint a patch, with a soft edge."""
    weight = gaussian_filter(blob(canvas.shape, (0.02, 0.10), random).astype(float), canvas.pixel)
    return _blurred(canvas, 2) + canvas.offset(random) / 2, weight


def missing(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Take a patch away: what remains is flat, of the grey that is most usual at the image's border."""
    border = np.concatenate([canvas.image[[0, -1]].reshape(-1, canvas.image.shape[2])])
    return np.broadcast_to(np.median(border, axis=0), canvas.image.shape), blob(
        canvas.shape, (0.02, 0.08), random
    )


def blur(canvas: Canvas, random: np.random.Generator) -> Painted:
    """Put a patch out of focus."""
    return _blurred(canvas, random.uniform(1.5, 3)), blob(canvas.shape, (0.05, 0.15), random)


DEFECTS: dict[str, Callable[[Canvas, np.random.Generator], Painted]] = {
    draw.__name__: draw for draw in (texture, cut_paste, scar, scratch, spot, stain, missing, blur)
}


def _blurred(canvas: Canvas, sigma: float) -> np.ndarray:
    width = sigma * canvas.pixel
    smooth: np.ndarray = gaussian_filter(canvas.image, (width, width, 0))
    return smooth


def _turned(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turn an image by 180 degrees, by 90 too where it is square, or mirror it."""
    quarters = int(random.integers(4)) if image.shape[0] == image.shape[1] else 2 * int(random.integers(2))
    turned = np.rot90(image, quarters)
    return turned[:, ::-1] if random.random() < 0.5 else turned

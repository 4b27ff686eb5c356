"""Smooth random fields and shapes that defects are made of; all lengths are fractions of the image's side."""

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

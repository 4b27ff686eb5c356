"""Images, histograms and texts of a task's own, kept under `<run folder>/figures/`, where trackers find them.

A name given again replaces what was there; TensorBoard keeps both, each at its epoch.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workbench.common.figure_style import BLUE, new_figure, styled
from workbench.common.files import appearing_whole
from workbench.common.redaction import redact


def write_image(folder: Path, name: str, image: Any) -> None:
    """Keep an image `[H, W]` or `[H, W, 3]`, a tensor or an array: uint8, or numbers from 0 to 1."""
    pixels = _array(image)
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        raise ValueError(f"log_image({name!r}): its shape is {list(pixels.shape)}, not [H, W] or [H, W, 3]")
    if pixels.dtype != np.uint8:
        pixels = (np.nan_to_num(pixels).clip(0, 1) * 255).round().astype(np.uint8)
    with appearing_whole(_place(folder, f"{name}.png")) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def write_histogram(folder: Path, name: str, values: Any) -> None:
    """Draw how numbers of any shape are spread; NaN and infinite ones are counted beside it."""
    figure = _histogram(_array(values).ravel().astype(np.float64), name)
    with appearing_whole(_place(folder, f"{name}.png")) as temporary:
        figure.savefig(temporary, format="png")


@styled
def _histogram(values: np.ndarray, name: str) -> Any:
    finite = values[np.isfinite(values)]
    figure = new_figure(5, 3)
    axes = figure.add_subplot()
    axes.hist(finite, bins=50, color=BLUE)
    others = f", {len(values) - len(finite):,} not finite" if len(finite) < len(values) else ""
    axes.set(title=name, xlabel=f"{len(values):,} values{others}")
    return figure


def write_text(folder: Path, name: str, text: str) -> None:
    """Keep a text, as Markdown; secrets in it are blanked."""
    with appearing_whole(_place(folder, f"{name}.md")) as temporary:
        temporary.write_text(redact(text), encoding="utf-8")


def _place(folder: Path, name: str) -> Path:
    figures = folder / "figures"
    path = figures / name
    if figures not in path.parents or ".." in path.parts:
        raise ValueError(f"{name}: a name may have folders, but stays below figures/")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor of any device; numpy has no bfloat16
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)

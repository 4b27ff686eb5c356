"""What a model sees in an image, as heat over it: a detector's scores, or what a classifier looks at.

Shapes: H, W pixels, N patches of one image.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workbench.common.files import appearing_whole
from workbench.portable.model import Answers, Model
from workbench.portable.pixels import heat_overlay, pixel_weights

FLAT_SCALE = 2.0  # equal shares: up to here weights never have the full colour


def has_heat(model: Model) -> bool:
    """Tell whether the model has a map of scores, or says which patches it looks at."""
    return model.kind == "anomaly" or "patch_size" in model.description


def heat_map_name(name: str, given: str) -> Path:
    """Return where an image's heat map lies: as the image lies in the folder that was given."""
    path, root = Path(name), Path(given).expanduser()
    relative = (
        path.relative_to(root) if path.is_relative_to(root) else Path(*path.parts[path.is_absolute() :])
    )
    kept = Path(*(part for part in relative.parts if part != ".."))
    return kept.with_name(f"{kept.name}.png")


def write_heat(
    path: Path, model: Model, image_HWC: np.ndarray, answers: Answers, place: int
) -> dict[str, Any]:
    """Write the heat map of one image of a batch, and return what the answer says of its scale.

    That of a classifier has the numbers beside it, as HDF5: `weights` `[N]`, which add up to 1, and `coords`
    `[N, 2]` (x, y).
    """
    if model.kind == "anomaly":
        low, _, high = model.description["colour_range"]  # scores where colour begins, is marked, and ends
        _write_overlay(path, image_HWC, (answers["map"][place] - low) / (high - low or 1))
        return {}
    weight_N, size = answers["attention"][place], int(model.description["patch_size"])
    share_N = weight_N * len(weight_N)
    highest = float(share_N.max())
    map_HW = pixel_weights(image_HWC.shape[:2], share_N, answers["position"], size)
    _write_overlay(path, image_HWC, np.nan_to_num(map_HW) / max(highest, FLAT_SCALE))
    _write_numbers(path.with_suffix(".h5"), weight_N, answers["position"], size)
    return {"highest_weight": highest}


def _write_overlay(path: Path, image_HWC: np.ndarray, share_HW: np.ndarray) -> None:
    overlay = (255 * heat_overlay(image_HWC, np.clip(share_HW, 0, 1))).round().astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing_whole(path) as temporary:
        Image.fromarray(overlay).save(temporary, format="PNG")


def _write_numbers(path: Path, weight_N: np.ndarray, position_N2: np.ndarray, patch_size: int) -> None:
    import h5py

    with appearing_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file["weights"], file["coords"] = weight_N, position_N2[:, ::-1]
        file.attrs["patch_size"] = patch_size

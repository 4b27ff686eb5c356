"""Patches cut per second, a batch at a time, beside a loop over the images.

python benchmarks/patches.py        about half a minute; process CPU time, one thread, interleaved medians
"""

from collections.abc import Callable

import numpy as np
import torch
from timing import compare, print_table
from torch import Tensor

from patchsets.data.images import Images
from patchsets.data.patches import PatchCutter
from patchsets.set_module import Sets

# name, images, height and width, channels, patch size, stride, patches per image
CASES = [
    ("digits, 1 to 36 of 3x3", 64, (8, 8), 1, 3, 1, (1, 36)),
    ("digits, all 3x3", 64, (8, 8), 1, 3, 1, None),
    ("textures, 16 of 8x8", 64, (96, 96), 1, 8, 8, 16),
    ("photographs, 64 of 16x16", 32, (224, 224), 3, 16, 16, 64),
    ("photographs, all 16x16", 32, (224, 224), 3, 16, 16, None),
    ("photographs of many sizes, 64 of 16x16", 32, None, 3, 16, 16, 64),
]


def main() -> None:
    """Time both ways on the same images and print patches per second."""
    torch.set_num_threads(1)
    rows = []
    for name, count, size, channels, patch, stride, number in CASES:
        random = np.random.default_rng(0)
        sizes = [size or tuple(random.integers(128, 320, 2)) for _ in range(count)]
        arrays = [random.integers(0, 256, (*s, channels)).astype(np.uint8) for s in sizes]
        seconds = compare(_variants(arrays, PatchCutter(patch, stride), number), repeats=25)
        cut = len(PatchCutter(patch, stride).cut(Images.from_arrays(arrays), number)[1])
        loop, batch = seconds["loop"], seconds["batch"]
        rows.append([name, f"{cut / loop:,.0f}", f"{cut / batch:,.0f}", f"{loop / batch:.1f}"])
    print_table("Patches cut per second", ["images", "image by image", "whole batch", "ratio"], rows)


def _variants(
    arrays: list[np.ndarray], cutter: PatchCutter, number: int | tuple[int, int] | None
) -> dict[str, Callable[[], object]]:
    packed = Images.from_arrays(arrays)
    single = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    return {
        "loop": lambda: cut_by_loop(single, cutter.size, cutter.stride, number),
        "batch": lambda: cutter.cut(packed, number),
    }


def cut_by_loop(images: list[Tensor], size: int, stride: int, number: int | tuple[int, int] | None) -> Sets:
    """Do for each image what a Dataset usually does: unfold, choose, scale, append the places."""
    sets = [_cut_one(image, size, stride, number) for image in images]
    return Sets(torch.cat(sets), torch.tensor([len(values) for values in sets]))


def _cut_one(image: Tensor, size: int, stride: int, number: int | tuple[int, int] | None) -> Tensor:
    windows = image.unfold(1, size, stride).unfold(2, size, stride)
    rows, columns = windows.shape[1:3]
    if number is None:
        chosen = torch.arange(rows * columns)
    else:
        low, high = (number, number) if isinstance(number, int) else number
        chosen = torch.randperm(rows * columns)[: int(torch.randint(low, high + 1, ()))]
    y, x = chosen // columns, chosen % columns
    values = windows[:, y, x].permute(1, 2, 3, 0).flatten(1).float() / 255
    room = torch.tensor(image.shape[1:]) - size
    return torch.cat([values, torch.stack([y, x], dim=1) * stride / room * 2 - 1], dim=1)


if __name__ == "__main__":
    main()

"""Patches cut for a whole batch at once are those that a loop over images would cut."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from patchsets.data.images import Images
from patchsets.data.patches import PatchCutter

SIZES = [(8, 8), (5, 9), (12, 4), (4, 4)]


def images(channels: int, sizes: list[tuple[int, int]] = SIZES) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [size if channels == 1 else (*size, channels) for size in sizes]
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]


def by_loop(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the patches `[N, size * size * C]` in reading order, by numpy's own windows."""
    colour = image.reshape(*image.shape[:2], -1)
    windows = sliding_window_view(colour, (size, size), axis=(0, 1))[::stride, ::stride]
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, size * size * colour.shape[2]) / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (4, 4), (3, 2), (2, 5)])
@pytest.mark.parametrize("sizes", [SIZES, [(7, 6)] * 3])
def test_all_patches_are_those_of_a_loop(
    channels: int, size: int, stride: int, sizes: list[tuple[int, int]]
) -> None:
    arrays = images(channels, sizes)
    sets, positions = PatchCutter(size, stride, coordinates=False).cut(Images.from_arrays(arrays))
    for image, values, places in zip(arrays, sets.split(), positions.split(sets.sizes), strict=True):
        np.testing.assert_allclose(values, by_loop(image, size, stride), rtol=1e-6)
        corners = image[places[:, 0], places[:, 1]].reshape(len(values), -1) / 255
        np.testing.assert_allclose(values[:, :channels], corners, rtol=1e-6)


def test_coordinates_reach_from_one_border_to_the_other() -> None:
    sets, positions = PatchCutter(4, 1).cut(Images.from_arrays(images(1)))
    corner = sets.values[:, -2:]
    assert corner.min() == -1 and corner.max() == 1
    first = slice(0, sets.sizes[0])  # the first image is 8x8: four pixels of room are two units
    torch.testing.assert_close(corner[first], positions[first] / 2 - 1)


def chosen(number: int | tuple[int, int], seed: int = 0) -> list[list[tuple[int, ...]]]:
    torch.manual_seed(seed)
    sets, positions = PatchCutter(3, 1).cut(Images.from_arrays(images(1)), number)
    return [[tuple(place) for place in part.tolist()] for part in positions.split(sets.sizes)]


def test_a_subset_has_no_patch_twice_and_no_more_than_there_are() -> None:
    room = [(h - 2) * (w - 2) for h, w in SIZES]
    for number in (1, 5, 1000):
        parts = chosen(number)
        assert [len(part) for part in parts] == [min(number, n) for n in room]
        assert all(len(set(part)) == len(part) for part in parts)


def test_a_range_gives_every_number_in_it() -> None:
    found = {len(part) for seed in range(60) for part in chosen((1, 3), seed)[:3]}
    assert found == {1, 2, 3}


def test_every_patch_is_as_likely() -> None:
    """Of 36 patches 9 are drawn, 400 times: each 100 times, give or take five standard deviations of 8.7."""
    count = np.zeros((6, 6))
    for seed in range(400):
        for y, x in chosen(9, seed)[0]:
            count[y, x] += 1
    assert np.abs(count - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_the_choice_follows_torch_s_seed() -> None:
    assert chosen((2, 7)) == chosen((2, 7)) != chosen((2, 7), seed=1)


@pytest.mark.parametrize("number", [None, 2])
def test_background_is_left_out(number: int | None) -> None:
    image = np.zeros((12, 12), np.uint8)
    image[4:8, 8:12] = np.arange(16).reshape(4, 4) * 17
    image[0, 0] = 1  # a trace of contrast
    sets, positions = PatchCutter(4, 4, min_contrast=0.1).cut(Images.from_arrays([image]), number)
    assert positions.tolist() == [[4, 8]] and sets.sizes == (1,)


def test_an_image_of_background_keeps_its_most_contrasted_patch() -> None:
    faint = np.full((12, 12), 9, np.uint8)
    faint[8, 4] = 12
    flat = np.full((12, 12), 9, np.uint8)
    sets, positions = PatchCutter(4, 4, min_contrast=0.1).cut(Images.from_arrays([faint, flat]))
    assert sets.sizes == (1, 1)
    assert positions[0].tolist() == [8, 4]

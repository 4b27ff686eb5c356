"""Patches cut for a whole batch at once are those that a loop over images would cut."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils._pytree import tree_map

from patchsets.data.images import Images
from patchsets.data.patches import Edge, PatchCutter
from patchsets.set_module import Sets

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
    assert sets.values.shape[1:] == (channels, size, size) and sets.places is None
    sets = sets.as_vectors()
    for image, values, places in zip(arrays, sets.split(), positions.split(sets.sizes), strict=True):
        np.testing.assert_allclose(values, by_loop(image, size, stride), rtol=1e-6)
        corners = image[places[:, 0], places[:, 1]].reshape(len(values), -1) / 255
        np.testing.assert_allclose(values[:, :channels], corners, rtol=1e-6)


def test_coordinates_reach_from_one_border_to_the_other() -> None:
    sets, positions = PatchCutter(4, 1).cut(Images.from_arrays(images(1)))
    corner = sets.as_vectors().values[:, -2:]
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


def starts(side: int, size: int, stride: int, edge: str) -> list[int]:
    """Return where patches begin along a side, by counting on until nothing is left."""
    found = list(range(0, max(side - size, 0) + 1, stride))
    if edge != "drop" and found[-1] + max(size, stride) < side:
        found.append(found[-1] + stride if edge == "pad" else min(found[-1] + stride, side - size))
    return found


EDGES: list[Edge] = ["drop", "pad", "shift"]
every_edge = pytest.mark.parametrize("edge", EDGES)


@every_edge
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "stride"), [(4, 4), (3, 2), (2, 5), (4, 1)])
def test_pixels_at_the_edge_are_dropped_padded_or_reached_by_a_shift(
    edge: Edge, channels: int, size: int, stride: int
) -> None:
    arrays = images(channels, [(9, 7), (4, 4), (5, 14), (11, 11)])
    cutter = PatchCutter(size, stride, edge=edge)
    sets, positions = cutter.cut(Images.from_arrays(arrays))
    parts = zip(sets.split(), positions.split(sets.sizes), sets.places.split(sets.sizes), strict=True)  # type: ignore[union-attr]
    shares = cutter.coverage(torch.tensor([image.shape[:2] for image in arrays]))
    for image, share, (patches, position, places) in zip(arrays, shares, parts, strict=True):
        rows, columns = (starts(side, size, stride, edge) for side in image.shape[:2])
        assert position.tolist() == [[y, x] for y in rows for x in columns]
        colour = image.reshape(*image.shape[:2], channels)
        padded = np.pad(colour, [(0, size), (0, size), (0, 0)], mode="edge")
        seen = np.zeros(image.shape[:2], bool)
        for patch, (y, x) in zip(patches, position.tolist(), strict=True):
            window = padded[y : y + size, x : x + size]
            np.testing.assert_allclose(patch, window.transpose(2, 0, 1) / 255, rtol=1e-6)
            seen[y : y + size, x : x + size] = True
        assert share == pytest.approx(seen.mean())
        assert edge == "drop" or stride > size or share == 1
        assert places.abs().max() <= 1
        whole = cutter.cut_all(torch.from_numpy(colour)[None])
        assert torch.equal(whole.values, patches) and torch.equal(whole.places, places)  # type: ignore[arg-type]


def test_padding_takes_images_that_are_smaller_than_a_patch() -> None:
    cutter = PatchCutter(4, 2, edge="pad")
    image = images(3, [(2, 5)])[0]
    sets, positions = cutter.cut(Images.from_arrays([image, image]))
    assert positions.tolist() == [[0, 0], [0, 2]] * 2
    assert torch.equal(sets.values[0, :, 1], sets.values[0, :, 3])  # the last row again
    assert torch.equal(cutter.cut_all(torch.from_numpy(image)[None]).values, sets.values[:2])
    assert cutter.smallest == 1 and PatchCutter(4, 2, edge="shift").smallest == 4


def test_places_stand_in_a_vector_once() -> None:
    sets = PatchCutter(4, 2).cut(Images.from_arrays(images(3)))[0].as_vectors()
    assert sets.values.shape[1] == 4 * 4 * 3 + 2
    assert torch.equal(sets.as_vectors().values, sets.values)


def test_places_go_where_their_patches_go() -> None:
    sets = PatchCutter(4, 2).cut(Images.from_arrays(images(1)))[0]
    twice = Sets.cat([sets, sets])
    assert sets.places is not None and torch.equal(twice.places, torch.cat([sets.places] * 2))  # type: ignore[arg-type]
    assert torch.equal(twice[[5]].as_vectors().values, sets[[1]].as_vectors().values)
    assert torch.equal(tree_map(lambda part: part, sets).places, sets.places)
    assert Sets.cat([sets, Sets(sets.values, sets.lengths)]).places is None

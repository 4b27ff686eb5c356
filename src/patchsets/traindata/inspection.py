"""Images that are nearly the same, by a perceptual difference hash (dHash, Krawetz 2013) of 256 bits.

What is known of raw images before anything is written; all that is wrong with them is told at once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from patchsets.data.image_files import ImageFile, try_images
from patchsets.data.layout import GOOD, as_mask
from patchsets.traindata.cutting import too_small
from patchsets.traindata.settings import Words
from patchsets.traindata.sources import Source, find_sources, split_sources
from workbench.common.errors import DataError
from workbench.portable.pixels import Unusable, shown

SIDE = 16
NEAR = 10  # of 256 bits; a photograph saved again as JPEG differs by 0 to 4
ALIKE = 4.0  # grey levels by which thumbnails of the same thing differ at most, on average
BLANK = 2.0  # standard deviation of a thumbnail that shows nothing: all such are alike
AT_ONCE = 512  # hashes compared with all others
NAMED = 10  # of a long list


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return `[16, 17]` uint8, grey: all the comparison needs of an image."""
    small = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    return np.asarray(small)


def is_blank(small: np.ndarray) -> bool:
    """Tell a thumbnail that shows nothing."""
    return bool(small.std() < BLANK)


def near_duplicates(thumbnails: Sequence[np.ndarray], split: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of images in different splits whose hashes, and thumbnails, differ little."""
    if not thumbnails:
        return []
    small = np.stack(thumbnails)
    hashes = _difference_hash(small)
    candidate = small.std(axis=(1, 2)) >= BLANK
    splits = np.array(split)
    pairs: list[tuple[int, int]] = []
    for begin in range(0, len(hashes), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        distance = np.bitwise_count(hashes[part, None] ^ hashes).sum(axis=2)
        across = (splits[part, None] != splits) & candidate[part, None] & candidate
        first, second = np.nonzero((distance <= NEAR) & across)
        pairs += [
            (begin + a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if begin + a < b
        ]
    return [(a, b) for a, b in pairs if np.abs(small[a].astype(int) - small[b]).mean() <= ALIKE]


def _difference_hash(small: np.ndarray) -> np.ndarray:
    """Return `[N, 32]` uint8 of thumbnails: whether it gets brighter from each pixel to the next one."""
    brighter = small[:, :, 1:] > small[:, :, :-1]
    return np.packbits(brighter.reshape(len(small), -1), axis=1)


@dataclass(frozen=True)
class Plan:
    """The raw images, what each is for, and what the user should know of them."""

    sources: list[Source]
    split: list[str]
    remarks: list[str]


def make_plan(words: Words) -> Plan:
    """Look at all images. Raises DataError that names everything that is wrong."""
    found = find_sources(words)
    sources, problems, files = [], list(found.problems), []
    looked_at = try_images([source.path for source in found.sources], 1, thumbnail)
    for source, result in zip(found.sources, looked_at, strict=True):
        if isinstance(result, Unusable):
            problems.append(f"{source.name}: {result}")
        else:
            sources.append(source)
            files.append(result)
    masks = _masks(sources, words)
    problems += _mask_problems(sources, files, masks, words)
    problems += _size_problems(sources, files, words)
    problems += _in_both(sources, files)
    split = split_sources(sources, [file.sha256 for file in files], words.test_fraction, words.seed)
    if split is None and any(source.kind == GOOD for source in sources):
        problems.append(_nothing_to_split(sources, words))
    if problems:
        wrong = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
        raise DataError(f"{wrong} wrong; nothing was written:\n  " + "\n  ".join(problems))
    assert split is not None
    empty = [sources[row].name for row, mask in masks.items() if not _defect(mask)[0]]
    return Plan(sources, split, _remarks(sources, files, split, empty))


def _masks(sources: Sequence[Source], words: Words) -> dict[int, ImageFile | Unusable]:
    """Look at the masks of anomalies, by row; its pixels become: is any marked, in the region too?"""
    left, top, right, bottom = words.box() or (0, 0, None, None)

    def look(pixels: np.ndarray) -> np.ndarray:
        mask = as_mask(pixels)
        return np.array([mask.any(), mask[top:bottom, left:right].any()])

    rows = {row: source.mask for row, source in enumerate(sources) if source.mask and source.kind != GOOD}
    return dict(zip(rows, try_images(list(rows.values()), 1, look), strict=True))


def _defect(mask: ImageFile | Unusable) -> tuple[bool, bool]:
    assert isinstance(mask, ImageFile)
    return bool(mask.pixels[0]), bool(mask.pixels[1])


def _mask_problems(
    sources: Sequence[Source],
    files: Sequence[ImageFile],
    masks: Mapping[int, ImageFile | Unusable],
    words: Words,
) -> Iterator[str]:
    for row, mask in masks.items():
        path = shown(sources[row].mask or sources[row].path)
        if isinstance(mask, Unusable):
            yield f"{path}: {mask}"
        elif mask.size != files[row].size:
            (height, width), (image_height, image_width) = mask.size, files[row].size
            yield f"{path}: {width}x{height} pixels, its image has {image_width}x{image_height}"
        elif not _defect(mask)[0] and words.tile is not None:
            yield f"{path}: the mask is empty, so it is not known which of its tiles are anomalous"
        elif _defect(mask) == (True, False) and words.tile is None:
            where = f"outside the region {words.region}"
            yield f"{path}: the defect lies {where}; move the region, or leave the image out"


def _size_problems(sources: Sequence[Source], files: Sequence[ImageFile], words: Words) -> Iterator[str]:
    for source, file in zip(sources, files, strict=True):
        if reason := too_small(file.size, words):
            yield f"{source.name}: {reason}"
        if words.tile is not None and source.kind != GOOD and source.mask is None:
            yield f"{source.name}: without a mask it is not known which of its tiles are anomalous"
    sizes = Counter(file.size for file in files)
    if len(sizes) > 1 and words.fit == "stretch" and words.tile is None and words.region is None:
        counted = ", ".join(f"{width}x{height} ({n})" for (height, width), n in sizes.most_common(8))
        yield f"mixed sizes: {counted}; stretched they would differ in shape: fit=letterbox, region= or tile="


def _in_both(sources: Sequence[Source], files: Sequence[ImageFile]) -> Iterator[str]:
    good = {
        file.sha256: source.name for source, file in zip(sources, files, strict=True) if source.kind == GOOD
    }
    for source, file in zip(sources, files, strict=True):
        if source.kind != GOOD and file.sha256 in good:
            yield f"{source.name}: the same image as {good[file.sha256]}; one of them is in the wrong folder"


def _nothing_to_split(sources: Sequence[Source], words: Words) -> str:
    good = [source.group for source in sources if source.kind == GOOD]
    groups = f" of {len(set(good))} groups" if words.group else ""
    return f"nothing to split: {len(good)} good images{groups} do not suffice for train and test"


def _remarks(
    sources: Sequence[Source], files: Sequence[ImageFile], split: Sequence[str], empty: Sequence[str]
) -> list[str]:
    remarks = []
    pairs = near_duplicates([file.pixels for file in files], split)
    pairs = [pair for pair in pairs if all(sources[row].kind == GOOD for row in pair)]
    if pairs:
        some = [f"{sources[a].name} ({split[a]}) = {sources[b].name} ({split[b]})" for a, b in pairs[:10]]
        more = [f"and {len(pairs) - 10} more"] if len(pairs) > 10 else []
        remarks.append(
            f"{len(pairs)} pairs of good images in train and test are nearly the same. Where they show the "
            "same thing, and not only things alike, give them a group=:\n  " + "\n  ".join([*some, *more])
        )
    without = [source.name for source in sources if source.kind != GOOD and source.mask is None]
    if without and any(source.mask for source in sources):
        remarks.append(f"{len(without)} anomalies have no mask: {listed(without)}")
    if empty:
        remarks.append(f"{len(empty)} masks are empty; these anomalies stay, without a mask: {listed(empty)}")
    return remarks

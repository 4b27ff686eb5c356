"""What is known of raw images before anything is written; all that is wrong with them is told at once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from patchsets.data.image_files import ImageFile, try_images
from patchsets.data.layout import GOOD
from patchsets.traindata.cutting import too_small
from patchsets.traindata.duplicates import near_duplicates, thumbnail
from patchsets.traindata.settings import Words
from patchsets.traindata.sources import Source, find_sources
from patchsets.traindata.splitting import split_sources
from workbench.common.errors import DataError
from workbench.portable.pixels import Unusable, shown


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
    problems += _mask_problems(sources, files)
    problems += _size_problems(sources, files, words)
    problems += _in_both(sources, files)
    split = split_sources(sources, [file.sha256 for file in files], words.test_fraction, words.seed)
    if split is None and any(source.kind == GOOD for source in sources):
        problems.append(_nothing_to_split(sources, words))
    if problems:
        wrong = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
        raise DataError(f"{wrong} wrong; nothing was written:\n  " + "\n  ".join(problems))
    assert split is not None
    return Plan(sources, split, _remarks(sources, files, split))


def _mask_problems(sources: Sequence[Source], files: Sequence[ImageFile]) -> Iterator[str]:
    known = [(source.mask, file) for source, file in zip(sources, files, strict=True) if source.mask]
    masks = try_images([path for path, _ in known], 1, thumbnail)
    for (path, file), mask in zip(known, masks, strict=True):
        if isinstance(mask, Unusable):
            yield f"{shown(path)}: {mask}"
        elif mask.size != file.size:
            (height, width), (image_height, image_width) = mask.size, file.size
            yield f"{shown(path)}: {width}x{height} pixels, its image has {image_width}x{image_height}"


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


def _remarks(sources: Sequence[Source], files: Sequence[ImageFile], split: Sequence[str]) -> list[str]:
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
        remarks.append(f"{len(without)} anomalies have no mask: {', '.join(without[:10])}")
    return remarks

"""Images that are read when they are taken: from their files, or from one file of pixels in the cache.

So that memory is bounded by a batch, however many there are. Shapes: N images, B of a batch.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from patchsets.data.first_look import bar_of_images, stamp_of
from patchsets.data.image_files import check_total, hash_of_pixels, read_pixels
from patchsets.data.images import Images, begin_of
from workbench.common.cache import cached, check_room
from workbench.common.errors import DataError
from workbench.portable.pixels import Unusable, cropped, pillow_is_quiet, shown
from workbench.train.loading import batch_bytes

AT_ONCE = 8  # images that a thread decodes
Some = TypeVar("Some", bound="LazyImages")


@dataclass(frozen=True)
class LazyImages:
    """N images: their sizes (height, width) `[N, 2]` and hashes of what their files hold `[N, 32]`."""

    size: Tensor
    contents: Tensor
    channels: int

    def __len__(self) -> int:
        return len(self.size)

    def reader(self) -> Callable[[int], np.ndarray]:
        """Return what gives the pixels of one image, flat, by its row; Unusable says why it cannot."""
        raise NotImplementedError

    def only(self: Some, rows: Tensor) -> Some:
        """Return some of the images, still to be read."""
        raise NotImplementedError

    def take(self, rows: Tensor) -> Images:
        """Read some of the images. DataError naming each that cannot be read any more, or has changed."""
        size = self.size[rows]
        begin = begin_of(size, self.channels)
        pixels = batch_bytes(int(size.prod(1).sum()) * self.channels)
        read, lost = self.reader(), []
        for row, start in zip(rows.tolist(), begin.tolist(), strict=True):
            try:
                flat = read(row)
                pixels.numpy()[start : start + len(flat)] = flat
            except Unusable as reason:
                lost.append(str(reason))
        if lost:
            raise DataError(f"data.root: {'; '.join(lost)}; put back what was there when the run began")
        return Images(pixels, begin, size, self.channels)

    def array(self, index: int) -> np.ndarray:
        """Return one image, `[H, W]` or `[H, W, C]`."""
        return self.take(torch.tensor([index])).array(0)


@dataclass(frozen=True)
class ImageFiles(LazyImages):
    """Files below `root`, decoded when they are taken, resized (see `decode`) and cropped."""

    root: str
    names: list[str]
    stamps: Tensor  # [N, 2] bytes and time of change at the first look
    resize: int | list[int] | None = None
    crop: list[int] | None = None

    def reader(self) -> Callable[[int], np.ndarray]:
        return self._decoded

    def _decoded(self, row: int) -> np.ndarray:
        path = Path(self.root, self.names[row])
        try:
            pixels = cropped(read_pixels(path, self.resize), self.crop)
            if list(stamp_of(path)) != self.stamps[row].tolist():
                self._check_unchanged(path, row)
        except Unusable as reason:
            raise Unusable(f"{shown(Path(self.names[row]))}: {reason}") from reason
        if self.channels == 1 and pixels.ndim == 3:
            pixels = pixels[..., 0]
        elif self.channels == 3 and pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        return pixels.reshape(-1)

    def _check_unchanged(self, path: Path, row: int) -> None:
        """Raise Unusable for another image; the same one may have been copied there once more."""
        if hash_of_pixels(read_pixels(path)) != self.contents[row].numpy().tobytes().hex():
            raise Unusable("it holds another image now")

    def only(self, rows: Tensor) -> "ImageFiles":
        parts = {name: getattr(self, name)[rows] for name in ("size", "contents", "stamps")}
        return replace(self, names=[self.names[row] for row in rows.tolist()], **parts)

    def in_memory(self) -> Images:
        """Read all of them, several at a time. DataError where they are too large for memory."""
        check_total((self.size.prod(1) * self.channels).tolist(), Path(self.root))
        parts = list(self.in_turn())
        return Images(torch.cat(parts), begin_of(self.size, self.channels), self.size, self.channels)

    def in_turn(self) -> Iterator[Tensor]:
        """Give the pixels of a few images after the other; a bar is shown where it takes long."""
        rows = torch.arange(len(self)).split(AT_ONCE)
        bar = bar_of_images(len(self), "decoding")
        with pillow_is_quiet(), ThreadPoolExecutor() as pool, bar:
            for first in range(0, len(rows), AT_ONCE):
                for taken in pool.map(self.take, rows[first : first + AT_ONCE]):
                    yield taken.pixels
                    bar.update(len(taken))


@dataclass(frozen=True)
class StoredImages(LazyImages):
    """Images whose pixels lie one after the other in a file, mapped into memory while a batch is taken."""

    file: Path
    begin: Tensor

    def reader(self) -> Callable[[int], np.ndarray]:
        pixels = np.memmap(self.file, np.uint8, "r")
        count = self.size.prod(1) * self.channels
        return lambda row: pixels[int(self.begin[row]) : int(self.begin[row] + count[row])]

    def only(self, rows: Tensor) -> "StoredImages":
        parts = {name: getattr(self, name)[rows] for name in ("size", "contents", "begin")}
        return replace(self, **parts)


def stored(files: ImageFiles) -> StoredImages:
    """Return files as pixels in the cache, decoded now or at an earlier start.

    Raises DataError, before anything is decoded, where they have no room there.
    """
    count = int(files.size.prod(1).sum()) * files.channels
    parameters = {
        "version": 1,
        "resize": files.resize,
        "crop": files.crop,
        "channels": files.channels,
        "images": len(files),
        "sha256": hashlib.sha256(files.contents.numpy().tobytes()).hexdigest(),
    }

    def make(folder: Path) -> None:
        check_room(count, "data.cache=disk: the images", "lower data.resize, take data.cache=none")
        with (folder / "pixels").open("wb") as file:
            for pixels in files.in_turn():
                file.write(pixels.numpy().data)

    folder = cached("images", parameters, make)
    begin = begin_of(files.size, files.channels)
    return StoredImages(files.size, files.contents, files.channels, folder / "pixels", begin)

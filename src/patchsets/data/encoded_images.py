"""What a frozen network sees of labelled images: computed once, kept in the cache, and drawn from.

Shapes: N images of a split, U different images of all splits, B of a batch, T elements (the patches of these
images; of a whole image there is one), `[D]` or `[D, h, w]` the features of an element.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from patchsets.data.batch import Batch, ImageBatch
from patchsets.data.first_look import bar_of_images
from patchsets.data.image_sets import ImageSets, LabelledImages
from patchsets.data.patches import Grid, Number, random_subset
from patchsets.set_module import Sets
from workbench.common.cache import cached, check_room
from workbench.common.files import read_json

AT_ONCE = 8  # images
VERSION = 1
Encode = Callable[[Tensor], Tensor]  # patches or images to their features

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedRows:
    """Rows of an encoded split, with their labels: the images themselves are not read."""

    split: str
    label: Tensor
    index: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "EncodedRows":
        """Move the labels; Lightning calls this for every batch."""
        label, index = (part.to(device, non_blocking=non_blocking) for part in (self.label, self.index))
        return replace(self, label=label, index=index)

    def pin_memory(self) -> "EncodedRows":
        """Pin the labels; a loader calls this where there is a GPU."""
        return replace(self, label=self.label.pin_memory(), index=self.index.pin_memory())


@dataclass(frozen=True)
class Features:
    """Of U images in turn: features `[T, ...]` on disk, how many of each `[U]`, where they lie `[T, 2]`."""

    values: np.ndarray
    lengths: Tensor
    positions: Tensor
    places: Tensor | None
    row: Mapping[str, int]  # of each image, by its content

    def batch(
        self, image_B: Tensor, rows: EncodedRows, number: Number, key_B: Tensor, whole: bool
    ) -> Batch | ImageBatch:
        """Return a batch of some of the images, of which `number` elements are drawn as from patches."""
        lengths_B = self.lengths[image_B]
        image_T = torch.repeat_interleave(lengths_B)
        begin_U = self.lengths.cumsum(0) - self.lengths
        within_T = torch.arange(len(image_T)) - (lengths_B.cumsum(0) - lengths_B)[image_T]
        grid = Grid(image_T, begin_U[image_B][image_T] + within_T, lengths_B)
        if number is not None and not whole:
            grid = grid.keep(random_subset(grid, number, key_B))
        device, element = rows.label.device, grid.position
        values = torch.from_numpy(self.values[element.numpy()]).to(device)
        if whole:
            return ImageBatch(values, rows.label, rows.index)
        places = None if self.places is None else self.places[element]
        sets = Sets(values, grid.lengths, places=places).to(device)
        return Batch(sets, rows.label, rows.index, self.positions[element].to(device))


@dataclass
class EncodedSplit:
    """A split of which only rows are loaded; its batches are made of features, once these are there."""

    name: str
    part: LabelledImages
    contents: list[str]  # of each image [N]
    features: Features | None = None

    @property
    def images(self) -> Any:
        return self.part.images

    @property
    def label(self) -> Tensor:
        return self.part.label

    def take(self, rows: Tensor) -> EncodedRows:
        return EncodedRows(self.name, self.part.label[rows], self.part.index[rows])

    def batch(self, rows: EncodedRows, number: Number, key_B: Tensor, whole: bool) -> Batch | ImageBatch:
        assert self.features is not None, "compute_features comes first"
        image_B = torch.tensor([self.features.row[self.contents[row]] for row in rows.index.tolist()])
        return self.features.batch(image_B, rows, number, key_B.cpu(), whole)


def load_rows_only(data: ImageSets) -> None:
    """Let loaders give rows in place of images, whose features `compute_features` brings."""
    splits: dict[str, Any] = data.splits
    for name, part in splits.items():
        if not isinstance(part, EncodedSplit):
            splits[name] = EncodedSplit(name, part, _contents(part.images))


def _contents(images: Any) -> list[str]:
    """Return what tells each image from any other."""
    if hasattr(images, "contents"):  # of files, as they were before they were resized and cropped
        how = f"{getattr(images, 'resize', None)} {getattr(images, 'crop', None)} {images.channels}"
        texts = zip(images.contents, images.size.tolist(), strict=True)
        return [f"{content.numpy().tobytes().hex()} {size} {how}" for content, size in texts]
    arrays = (images.array(row) for row in range(len(images)))
    return [f"{hashlib.sha256(array.tobytes()).hexdigest()} {array.shape}" for array in arrays]


def compute_features(data: ImageSets, encode: Encode, encoder: str, device: torch.device) -> None:
    """Bring the features of all images from the cache, or compute them on a device and keep them there.

    `encoder` says all that they depend on beside the images and how these are cut. Raises DataError where
    they have no room.
    """
    splits: Any = data.splits
    images = sorted({content for part in splits.values() for content in part.contents})
    parameters = {
        "version": VERSION,
        "images": len(images),
        "sha256": hashlib.sha256("\n".join(images).encode()).hexdigest(),
        "cut": str(data.cutter),
        "encoder": encoder,
    }

    def make(folder: Path) -> None:
        log.info("encoding %s images, once", f"{len(images):,}")
        began = time.monotonic()
        _write(folder, _encoded(data, encode, device, len(images)), len(images))
        size, took = (folder / "values").stat().st_size / 1e9, time.monotonic() - began
        log.info(
            "their features, %.2f GB, took %.0f s and are kept in %s", size, took, folder.with_suffix("")
        )

    features = _read(cached("features", parameters, make))
    for part in splits.values():
        part.features = features


def _encoded(
    data: ImageSets, encode: Encode, device: torch.device, count: int
) -> Iterator[tuple[list[str], Tensor, Any]]:
    """Give for a few images after the other their contents, their features and the batch they are of."""
    done: set[str] = set()
    splits: Any = data.splits
    with bar_of_images(count, "encoding") as bar, torch.no_grad():
        for part in splits.values():
            first = {content: row for row, content in enumerate(part.contents) if content not in done}
            done |= first.keys()
            for rows in torch.tensor(sorted(first.values())).split(AT_ONCE) if first else ():
                batch = data.make_batch(part.part.take(rows).to(device), training=False)
                patches = batch.input if isinstance(batch, ImageBatch) else batch.sets.values
                yield [part.contents[row] for row in rows.tolist()], encode(patches).float().cpu(), batch
                bar.update(len(rows))


def _write(folder: Path, parts: Iterator[tuple[list[str], Tensor, Any]], count: int) -> None:
    contents: list[str] = []
    lengths, positions, places = [], [], []
    with (folder / "values").open("wb") as file:
        for names, values, batch in parts:
            if not contents:
                bytes_ = values.nbytes * count // len(names)
                check_room(bytes_, "model.encoder: the features", "take larger strides (data.stride)")
            file.write(values.contiguous().numpy().data)
            contents += names
            if isinstance(batch, Batch):
                lengths.append(batch.sets.lengths.cpu())
                positions.append(torch.zeros(0, 2) if batch.positions is None else batch.positions.cpu())
                places += [] if batch.sets.places is None else [batch.sets.places.cpu()]
            else:
                lengths.append(torch.ones(len(names), dtype=torch.long))
    for name, tensors in {"lengths": lengths, "positions": positions, "places": places}.items():
        if tensors:
            np.save(folder / f"{name}.npy", torch.cat(tensors).numpy())
    description = {"shape": list(values.shape[1:]), "contents": contents}
    (folder / "features.json").write_text(json.dumps(description), encoding="utf-8")


def _read(folder: Path) -> Features:
    described: Any = read_json(folder / "features.json")
    arrays = {path.stem: torch.from_numpy(np.load(path)) for path in folder.glob("*.npy")}
    values = np.memmap(folder / "values", np.float32, "r").reshape(-1, *described["shape"])
    row = {content: number for number, content in enumerate(described["contents"])}
    none = torch.zeros(0, 2)
    return Features(values, arrays["lengths"], arrays.get("positions", none), arrays.get("places"), row)

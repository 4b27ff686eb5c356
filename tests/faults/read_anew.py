"""Data that are read from their files batch by batch, as those must be that do not fit into memory."""

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from patchsets.data.folder import Folder
from patchsets.data.image_files import as_one_mode, read_images
from patchsets.data.image_sets import LabelledImages, labelled
from workbench.train.loading import BatchedRows, loader


class ReadAnew(Folder):
    """One subfolder per class; each batch is decoded when it is asked for."""

    def _loader(self, split: str, shuffle_seed: int | None) -> DataLoader[Any]:
        label_B = self.splits[split].label

        def take(rows: Tensor) -> LabelledImages:
            paths = [self.root / self.names[split][row] for row in rows.tolist()]
            pixels = as_one_mode([file.pixels for file in read_images(paths, self.root, 1)])
            read = labelled(pixels, label_B[rows].numpy())
            return LabelledImages(read.images, read.label, rows)

        return loader(BatchedRows(len(label_B), take), self.batch_size, self.num_workers, shuffle_seed)

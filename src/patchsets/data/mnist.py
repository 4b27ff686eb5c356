"""MNIST (LeCun et al. 1998): from $DATASET, from the cache, or downloaded once; always checked."""

import gzip
import hashlib
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from patchsets.data.image_sets import ImageSets, LabelledImages, labelled
from patchsets.data.splitting import split_rows
from workbench.common.cache import cache_folder
from workbench.common.errors import DataError
from workbench.common.limits import AboveZero
from workbench.common.workspace import load_env

Arrays = dict[str, np.ndarray]

# SHA-256 of the four arrays, as bytes: the same whether they come as npz, IDX or from a download.
SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
TRAIN = 60_000
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
WHERE = (
    "put mnist.npz (x_train, y_train, x_test, y_test; or x, y of all 70,000) or the four IDX files (or .gz) "
    "into the folder that DATASET names in the environment (here: {place}), or train on data=digits instead"
)


class Mnist(ImageSets):
    """The 70,000 digits of 28x28 pixels as sets of patches; validation images are taken from the 60,000."""

    def __init__(
        self,
        batch_size: AboveZero,
        seed: int,
        patch_size: int | None = 7,
        stride: int = 7,
        val_fraction: float = 1 / 12,
        split_seed: int = 0,
        **sets: Any,
    ) -> None:
        super().__init__(batch_size, seed, patch_size, stride, **sets)
        self.classes = [str(digit) for digit in range(10)]
        self.val_fraction = val_fraction
        self.split_seed = split_seed

    def prepare_data(self) -> None:
        """Find the files, or download them into the cache. Raises DataError where neither is possible."""
        fetch_mnist()

    def read(self) -> dict[str, LabelledImages]:
        arrays = read_mnist()
        train, label = arrays["x_train"], arrays["y_train"]
        rows = split_rows(len(train), val=self.val_fraction, test=0, seed=self.split_seed)
        splits = {split: labelled(train[rows[split]], label[rows[split]]) for split in ("train", "val")}
        return splits | {"test": labelled(arrays["x_test"], arrays["y_test"])}


def fetch_mnist() -> None:
    """Find the files, or download them into the cache. Raises DataError where neither is possible."""
    if _find() is None:
        _download(_cache())


def read_mnist() -> Arrays:
    """Return the four arrays by the names of SHA256, images `[N, 28, 28]`; raise DataError without them."""
    place = _find()
    if place is None:
        raise DataError(f"MNIST is not there: {WHERE.format(place=_place())}")
    return _read_idx_files(place) if place.is_dir() else _read_npz(place)


def _place() -> str:
    return os.environ.get("DATASET") or "not set"


def _cache() -> Path:
    return cache_folder() / "mnist.npz"


def _find() -> Path | None:
    """Return the npz file, or the folder of IDX files, in the first place that has either."""
    load_env()
    folder = Path(os.environ["DATASET"]).expanduser() if os.environ.get("DATASET") else None
    for place in [] if folder is None else [folder, folder / "mnist", folder / "MNIST" / "raw"]:
        if (place / "mnist.npz").is_file():
            return place / "mnist.npz"
        if len(_idx_files(place)) == len(IDX_FILES):
            return place
    return _cache() if _cache().is_file() else None


def _read_npz(path: Path) -> Arrays:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = _halves(file["x"], file["y"]) if "x" in file else {name: file[name] for name in SHA256}
    except Exception as error:  # a damaged archive raises BadZipFile, zlib.error, EOFError, ValueError, ...
        raise DataError(
            f"{path} does not hold x_train, y_train, x_test, y_test, nor x, y ({error}); replace or remove it"
        ) from error
    return _checked(arrays, path)


def _halves(images: np.ndarray, label: np.ndarray) -> Arrays:
    """Take the 70,000 apart: the first 60,000 are for training."""
    (x_train, x_test), (y_train, y_test) = np.split(images, [TRAIN]), np.split(label, [TRAIN])
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _idx_files(folder: Path) -> dict[str, Path]:
    """Return those of the four IDX files that are there, under either spelling of their names."""
    spellings = {
        name: [f"{stem}{ending}" for stem in (file, file.replace("-idx", ".idx")) for ending in ("", ".gz")]
        for name, file in IDX_FILES.items()
    }
    found = {
        name: [folder / file for file in files if (folder / file).is_file()]
        for name, files in spellings.items()
    }
    return {name: paths[0] for name, paths in found.items() if paths}


def _read_idx_files(folder: Path) -> Arrays:
    return _checked({name: _read_idx(path) for name, path in _idx_files(folder).items()}, folder)


def _read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, type 8, number of dimensions, their sizes, the data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dimensions = content[3]
        shape = np.frombuffer(content, ">u4", dimensions, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f"{path} is not an IDX file ({error}); replace or remove it") from error


def _checked(arrays: Arrays, source: Path) -> Arrays:
    for name, array in arrays.items():
        bytes_ = np.ascontiguousarray(array, dtype=np.uint8)
        if hashlib.sha256(bytes_.tobytes()).hexdigest() != SHA256[name]:
            raise DataError(f"{source}: {name} is not MNIST's (its SHA-256 differs); replace or remove it")
        arrays[name] = bytes_
    return arrays


def _download(path: Path) -> None:
    """Fetch MNIST from openml.org, and keep it once it has been checked."""
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each of its retries warns; one line at the end is enough
            images, label = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, cache=False)
    except Exception as error:
        raise DataError(
            f"MNIST cannot be downloaded ({type(error).__name__}); {WHERE.format(place=_place())}"
        ) from error
    images, label = images.astype(np.uint8).reshape(-1, 28, 28), label.astype(np.uint8)
    _keep(_checked(_halves(images, label), Path("openml.org")), path)


def _keep(arrays: Arrays, path: Path) -> None:
    """Write the cache under another name first: what is found there is always whole."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # allow_pickle is not among them
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"MNIST cannot be kept in {path.parent} ({error.strerror}); set XDG_CACHE_HOME"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)

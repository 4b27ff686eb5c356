"""Files of features, one for each bag, as CLAM, TRIDENT, torchmil and plain numpy or torch write them.

Shapes: N rows (patches) of one bag, D features.
"""

import hashlib
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".h5", ".hdf5", ".npz", ".npy", ".pt", ".pth", ".safetensors")
NAMES = {  # what an array may be called
    "features": ("features", "feats", "X", "x"),
    "coords": ("coords", "coordinates", "positions"),
    "patch_labels": ("patch_labels", "inst_labels", "y_inst"),
    "labels": ("labels",),
}
FINGERPRINTED = 65536  # bytes of each end of a file
NUMBERS = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
SMALL = 4 * 2**20  # bytes of a file that is read whole at the first look


class Unfit(ValueError):
    """Why a file cannot be a bag."""


def reason(error: Exception) -> str:
    """Return why a file cannot be used, in one line, whatever its reader raised."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said if isinstance(error, Unfit) else f"it cannot be read: {' '.join(said.split())}"


@dataclass(frozen=True)
class Lazy:
    """An array that is read when asked for."""

    shape: tuple[int, ...]
    dtype: str  # as numpy and torch call it
    read: Callable[[], Tensor]


def look(path: Path) -> dict[str, Any]:
    """Return rows and width of a bag's features, which other arrays there are, and a hash of both its ends.

    Raises Unfit, or what the file's reader raises.
    """
    if path.stat().st_size == 0:
        raise Unfit("the file is empty (0 bytes)")
    with opened(path) as arrays:
        features = arrays.get("features")
        if features is None:
            raise Unfit(f"no array is called {', '.join(NAMES['features'])}")
        if len(features.shape) != 2:
            raise Unfit(f"its features are {list(features.shape)}, not [rows, width]")
        if features.dtype not in NUMBERS:
            raise Unfit(f"its features are of type {features.dtype}")
        rows, width = features.shape
        if not rows or not width:
            raise Unfit(f"it has no {'width' if rows else 'rows'}")
        for name in ("coords", "patch_labels"):
            if name in arrays:
                check_beside(rows, name, arrays[name].shape)
        if path.stat().st_size <= SMALL:
            check_finite(features.read())
        return {
            "rows": rows,
            "width": width,
            "dtype": features.dtype,
            "arrays": sorted(arrays),
            "ends": _hash_of_ends(path),
        }


def shape_of(path: Path) -> dict[str, Any]:
    """Return the shape of the only array of a file, or of the one whose name is that of its folder."""
    with opened(path) as arrays:
        array = arrays.get(path.parent.name) or arrays.get("features")
        if array is None:
            raise Unfit(f"no array is called {path.parent.name}")
        return {"shape": list(array.shape)}


def check_beside(rows: int, name: str, shape: Sequence[int]) -> None:
    """Raise Unfit for coordinates or labels that do not fit so many rows of features."""
    if tuple(shape) not in ({(rows, 2)} if name == "coords" else {(rows,), (rows, 1)}):
        raise Unfit(f"its {name} are {list(shape)}, not {[rows, 2] if name == 'coords' else [rows]}")


def check_finite(features: Tensor) -> None:
    """Raise Unfit, saying where, for features `[N, D]` that hold NaN or infinite numbers."""
    if not features.is_floating_point() or features.sum(dtype=torch.float32).isfinite():
        return
    broken = (~features.isfinite()).nonzero()
    if len(broken):
        row, feature = broken[0].tolist()
        more = f" ({len(broken)} of {features.numel()} numbers are not finite)"
        raise Unfit(f"{features[row, feature]:g} in row {row}, feature {feature}{more}")


@contextmanager
def opened(path: Path) -> Iterator[dict[str, Lazy]]:
    """Open a file; its arrays by the names of NAMES, a single one of another name taken for the features."""
    with _OPEN[path.suffix.lower()](path) as arrays:
        found = {
            meaning: arrays[name]
            for meaning, names in NAMES.items()
            for name in names[::-1]
            if name in arrays
        }
        if not found and len(arrays) == 1:
            found["features"] = next(iter(arrays.values()))
        yield found


@contextmanager
def _h5(path: Path) -> Iterator[Mapping[str, Lazy]]:
    import h5py

    with h5py.File(path, "r") as file:
        parts = {name: part for name, part in file.items() if isinstance(part, h5py.Dataset)}
        yield {n: Lazy(p.shape, p.dtype.name, partial(_tensor, p)) for n, p in parts.items()}


@contextmanager
def _npz(path: Path) -> Iterator[Mapping[str, Lazy]]:
    with zipfile.ZipFile(path) as archive, np.load(path) as file:
        yield {n: Lazy(*_header(archive, n), partial(_member, file, n)) for n in file.files}


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], str]:
    """Return shape and type of an array in an `.npz` without reading its numbers."""
    with archive.open(f"{name}.npy") as member:
        is_first = np.lib.format.read_magic(member) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        return shape, dtype.name


@contextmanager
def _npy(path: Path) -> Iterator[Mapping[str, Lazy]]:
    array = np.load(path, mmap_mode="c")  # mapped, and not read-only, of which torch would warn
    yield {"features": Lazy(array.shape, array.dtype.name, partial(_tensor, array))}


@contextmanager
def _pt(path: Path) -> Iterator[Mapping[str, Lazy]]:
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise Unfit("it holds more than plain tensors, which would run code") from error
    tensors = {"features": kept} if isinstance(kept, Tensor) else kept
    if not isinstance(tensors, dict) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise Unfit("it is no tensor, and no dictionary of tensors")
    yield {n: Lazy(tuple(t.shape), _name(str(t.dtype)), t.detach) for n, t in tensors.items()}


@contextmanager
def _safetensors(path: Path) -> Iterator[Mapping[str, Lazy]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        yield {
            n: Lazy(tuple(p.get_shape()), _name(p.get_dtype()), partial(file.get_tensor, n))
            for n, p in parts.items()
        }


def _name(dtype: str) -> str:
    """Return what numpy calls a type of torch (torch.float16) or of safetensors (F16)."""
    short = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
    return short.get(dtype, dtype.removeprefix("torch.").lower())


_OPEN: dict[str, Callable[[Path], Any]] = {
    ".h5": _h5, ".hdf5": _h5, ".npz": _npz, ".npy": _npy, ".pt": _pt, ".pth": _pt,
    ".safetensors": _safetensors,
}  # fmt: skip


def _member(file: Any, name: str) -> Tensor:
    return _tensor(file[name])


def _tensor(source: Any) -> Tensor:
    array = np.asarray(source)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _hash_of_ends(path: Path) -> str:
    """Return a hash of the first and last bytes of a file: enough to tell one from another in no time."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(FINGERPRINTED))
        file.seek(max(0, path.stat().st_size - FINGERPRINTED))
        digest.update(file.read())
    return digest.hexdigest()[:16]

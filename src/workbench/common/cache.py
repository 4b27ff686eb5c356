"""What is costly to make from the same parameters, kept in folders that appear whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from workbench.common.errors import DataError


def cache_folder() -> Path:
    """Return where PatchSets keeps what it can make or download again."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "patchsets"


def cached(kind: str, parameters: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` filled for these parameters, now or at an earlier call.

    `make` is given an empty folder. Two processes that ask at once make it once. `parameters` are plain
    values, among them a version of the code that makes it; they lie in the folder as parameters.json.
    Raises DataError where the cache cannot be written.
    """
    text = json.dumps(parameters, sort_keys=True, indent=2)
    folder = cache_folder() / kind / hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _make(folder, text, make)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    return folder


def _make(folder: Path, parameters: str, make: Callable[[Path], None]) -> None:
    temporary = folder.with_suffix(".new")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    (temporary / "parameters.json").write_text(parameters + "\n", encoding="utf-8")
    make(temporary)
    temporary.replace(folder)

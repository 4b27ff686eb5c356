"""Which data a run learned from, kept in its folder; a run is not continued on other data."""

import json
from pathlib import Path
from typing import Any

from patchsets.errors import DataError
from patchsets.run import read_json, write_json


def record_data(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Write data.json; raise DataError where a resumed run finds other data than it began with."""
    path = folder / "data.json"
    found = json.loads(json.dumps(fingerprint))
    if not path.is_file():
        write_json(path, found)
        return
    kept = read_json(path)
    if kept is None:
        raise DataError(f"{path}: it is damaged; remove it to go on with the data as they are now")
    changed = ", ".join(key for key in {**kept, **found} if kept.get(key) != found.get(key))
    if changed:
        raise DataError(
            f"the data have changed since this run began ({changed}, see {path}): start a new run"
        )

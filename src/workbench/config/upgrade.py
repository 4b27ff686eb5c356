"""Configurations of earlier versions, read under the names of today."""

from collections.abc import Mapping
from typing import Any

# A `_target_` that begins with the left is found under the right; docs/upgrading.md lists them for people.
MOVED = {
    "patchsets.tracking.csv.": "workbench.tracking.csv_tables.",
    "patchsets.tracking.": "workbench.tracking.",
    "patchsets.task.vae.": "patchsets.task.autoencoder.",
    "patchsets.model.patch_features.": "patchsets.model.filter_bank.",
}


def upgrade(node: Any) -> Any:
    """Return plain values of a configuration with every `_target_` under its name of today."""
    if isinstance(node, Mapping):
        return {key: _target(value) if key == "_target_" else upgrade(value) for key, value in node.items()}
    if isinstance(node, list):
        return [upgrade(item) for item in node]
    return node


def _target(name: Any) -> Any:
    old = next((prefix for prefix in MOVED if str(name).startswith(prefix)), None)
    return MOVED[old] + name.removeprefix(old) if old else name

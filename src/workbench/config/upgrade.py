"""Configurations of earlier versions, read under the names of today."""

from collections.abc import Mapping
from typing import Any

from workbench.config.build import TRUSTED
from workbench.config.hparams import READ, read_keys
from workbench.config.signatures import signature

# A `_target_` that begins with the left is found under the right; docs/upgrading.md lists them for people.
MOVED = {
    "patchsets.tracking.csv.": "workbench.tracking.csv_tables.",
    "patchsets.tracking.": "workbench.tracking.",
    "patchsets.data.max_regression.": "patchsets.data.synthetic.",
    "patchsets.data.mnist_bags.": "patchsets.data.bags.",
    "patchsets.data.needle.": "patchsets.data.synthetic.",
    "patchsets.model.backbone.Backbone": "patchsets.model.encoder.Encoder",
    "patchsets.model.lenet_attention_pool.": "patchsets.model.attention_pool.",
    "patchsets.model.patch_features.": "patchsets.model.filter_bank.",
    "patchsets.model.vae.": "patchsets.model.autoencoder.",
    "patchsets.task.regression.": "patchsets.task.classification.",
    "patchsets.task.vae.": "patchsets.task.autoencoder.",
}


# Tasks that never read any of these: they need not be imported to know.
WITHOUT_ARGUMENTS = tuple(
    f"patchsets.task.{name}" for name in ("classification.Classification", "classification.Regression")
)
# Hyper-parameters that a task read by itself, and is given now as arguments.
BECAME_ARGUMENTS = ("score_map", "pooling", "threshold", "false_positive_rate")


def upgrade(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration's plain values as this version writes them; its own stay as they are."""
    renamed: dict[str, Any] = _renamed(config)
    hparams, task = renamed.get("hparams"), renamed.get("task")
    trusted = (*TRUSTED, *(renamed.get("trusted_targets") or ()))
    if isinstance(hparams, dict) and isinstance(task, dict):
        for name in BECAME_ARGUMENTS:
            if name in hparams and name not in READ.findall(str(renamed)) and _takes(task, name, trusted):
                task.setdefault(name, f"${{hparams.{name}}}")
        known = read_keys(renamed)
        renamed["hparams"] = {key: value for key, value in hparams.items() if key in known}
    return renamed


def _renamed(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _target(value) if key == "_target_" else _renamed(value) for key, value in node.items()}
    return [_renamed(item) for item in node] if isinstance(node, list) else node


def _target(name: Any) -> Any:
    old = next((prefix for prefix in MOVED if str(name).startswith(prefix)), None)
    return MOVED[old] + name.removeprefix(old) if old else name


def _takes(task: dict[str, Any], name: str, trusted: tuple[str, ...]) -> bool:
    """Tell whether a task takes an argument; of a class of one's own only its import can tell."""
    target = str(task.get("_target_"))
    if target in WITHOUT_ARGUMENTS or not target.startswith(trusted):
        return False
    try:
        return name in signature(target).parameters
    except ImportError:  # said where it is needed
        return False

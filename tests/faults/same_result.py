"""What a training leaves, to be compared with that of one that nobody disturbed."""

import csv
import json
from pathlib import Path

import torch


def runs_in(outputs: Path) -> list[Path]:
    return [path.parent for path in outputs.glob("patch_sets/*/config.yaml") if not path.parent.is_symlink()]


def outcome(folder: Path) -> tuple[dict[str, float], list[list[str]]]:
    """Return the metrics and every value of metrics.csv, all but when it was written and how long it took."""
    with (folder / "metrics.csv").open() as file:
        values = [row[1:] for row in csv.reader(file) if not _is_time(row[4])]
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    return {name: value for name, value in metrics.items() if not _is_time(name)}, values


def _is_time(metric: str) -> bool:
    return metric.endswith("milliseconds_per_image")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def assert_same(folder: Path, undisturbed: Path) -> None:
    assert outcome(folder) == outcome(undisturbed)
    found, expected = weights(folder), weights(undisturbed)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())

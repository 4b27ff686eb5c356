"""What two runs were asked differently, made with, and reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.common.files import read_json
from workbench.history.record import RunRecord

ENVIRONMENT = ("commit", "python", "host", "cpus", "gpus")


def differences(one: RunRecord, other: RunRecord) -> list[dict[str, Any]]:
    """Return a row for each value of the configuration, the surroundings and the results that differs."""
    pairs = [
        (one.config, other.config),
        ({"data.json": _data(one.folder)}, {"data.json": _data(other.folder)}),
        (_environment(one.folder), _environment(other.folder)),
        (_results(one), _results(other)),
    ]
    return [
        {"key": key, one.name: here.get(key), other.name: there.get(key)}
        for here, there in pairs
        for key in dict.fromkeys([*here, *there])
        if here.get(key) != there.get(key)
    ]


def _data(folder: Path) -> str | None:
    """Return the hash of the training data, which stands for all that data.json holds."""
    data = read_json(folder / "data.json") or {}
    train = data.get("train")
    return train.get("sha256") if isinstance(train, Mapping) else None


def _environment(folder: Path) -> dict[str, Any]:
    found = read_json(folder / "environment.json") or {}
    packages = found.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    return {key: found.get(key) for key in ENVIRONMENT} | dict(versions)


def _results(record: RunRecord) -> dict[str, Any]:
    return {"status": record.get("status"), "seconds": record.get("seconds"), **record.metrics}

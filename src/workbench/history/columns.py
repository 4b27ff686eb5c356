"""Which values of runs stand side by side.

What two runs were asked differently, made with, and reached.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.common.files import read_json
from workbench.history.record import FACTS, RunRecord
from workbench.run.folder import fingerprint_of

PARAMETERS = ("task", "data", "model", "seed")


def all_columns(records: Sequence[RunRecord]) -> list[str]:
    """Return what CSV and JSON hold of each run: facts, tags, hyper-parameters, seed, metrics."""
    names = _names(records)
    config = [name for name in names if name.startswith(("tags.", "hparams.")) or name == "seed"]
    return ["folder", *FACTS, *config, *_metrics(records)]


def telling_columns(records: Sequence[RunRecord]) -> list[str]:
    """Return what a table shows: the parameters in which the runs differ, their tags, metrics and notes."""
    names = _names(records)
    tags = [name for name in names if name.startswith("tags.")]
    parameters = [name for name in (*PARAMETERS, *names) if name in PARAMETERS or name.startswith("hparams.")]
    differing = [name for name in dict.fromkeys(parameters) if _differs(name, records)]
    note = ["note"] if any(record.get("note") for record in records) else []
    facts = ["run", "experiment_name", "status", "seconds"]
    return [*facts, *tags, *differing, *_metrics(records), *note]


def _names(records: Sequence[RunRecord]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.config))


def _metrics(records: Sequence[RunRecord]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.metrics))


def _differs(name: str, records: Sequence[RunRecord]) -> bool:
    """Tell whether two of the runs that have a value differ in it: old runs lack what came later."""
    has_one = [record for record in records if name in record.config or name in record.facts]
    return len({str(record.get(name)) for record in has_one}) > 1


ENVIRONMENT = ("commit", "python", "host", "cpus", "gpus")


def differences(one: RunRecord, other: RunRecord) -> list[dict[str, Any]]:
    """Return a row for each value of the configuration, the surroundings and the results that differs."""
    pairs = [
        (one.config, other.config),
        ({"data.json": fingerprint_of(one.folder)}, {"data.json": fingerprint_of(other.folder)}),
        (_environment(one.folder), _environment(other.folder)),
        (_results(one), _results(other)),
    ]
    return [
        {"key": key, one.name: here.get(key), other.name: there.get(key)}
        for here, there in pairs
        for key in dict.fromkeys([*here, *there])
        if here.get(key) != there.get(key)
    ]


def _environment(folder: Path) -> dict[str, Any]:
    found = read_json(folder / "environment.json") or {}
    packages = found.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    return {key: found.get(key) for key in ENVIRONMENT} | dict(versions)


def _results(record: RunRecord) -> dict[str, Any]:
    return {"status": record.get("status"), "seconds": record.get("seconds"), **record.metrics}

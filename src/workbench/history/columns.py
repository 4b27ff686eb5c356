"""Which values of runs stand side by side."""

from collections.abc import Sequence

from workbench.history.record import FACTS, RunRecord

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

"""Which runs, in which order: the words of runs.py, with the names that train.py takes.

key=value  key!=value  key>value  key>=value  key<value  key<=value
sort=key   sort=-key (the largest first)

Then which of their values stand side by side, and what sets two runs apart.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from workbench.common.errors import ConfigError, nearest_key
from workbench.common.files import read_json
from workbench.history.record import FACTS, RunRecord
from workbench.repeat.verdict import short
from workbench.run.snapshot import CODE, check_sums
from workbench.run.starts import environment_of, starts

FORMATS = ("table", "csv", "json")
OWN = ("sort", "columns", "format", "outputs")  # words of runs.py itself
WORD = re.compile(r"(?P<key>[^=<>!]+)(?P<operator>!=|>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class Filter:
    """One condition on a run, such as hparams.batch_size>=64."""

    key: str
    operator: str
    value: str

    def holds(self, record: RunRecord) -> bool:
        """Tell whether a run is wanted; of several values with commas one is enough, `*` is any text."""
        found = record.get(self.key)
        if self.operator in ("=", "!="):
            return any(_equal(found, one) for one in self.value.split(",")) == (self.operator == "=")
        return found is not None and _ordered(found, self.operator, self.value)


@dataclass
class Query:
    """What runs.py was asked."""

    filters: list[Filter] = field(default_factory=list)
    sort: str | None = None
    columns: list[str] | None = None
    format: str = "table"
    outputs: str | None = None

    def choose(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """Return the runs that are wanted, in order; ConfigError for a key that no run has."""
        for key in self._keys():
            check_key(key, records)
        chosen = [record for record in records if all(one.holds(record) for one in self.filters)]
        return chosen if self.sort is None else _sorted(chosen, self.sort)

    def _keys(self) -> list[str]:
        sort = [self.sort.removeprefix("-")] if self.sort else []
        return [*(one.key for one in self.filters), *sort, *(self.columns or [])]


def parse(words: Sequence[str]) -> Query:
    """Read the words of the command line; ConfigError for one that cannot be read."""
    query = Query()
    for word in words:
        found = WORD.fullmatch(word)
        if found is None:
            raise ConfigError(f"{word}: write key=value (or != < > <= >=), or: diff <run> <run>")
        key, operator, value = found["key"].strip(), found["operator"], found["value"].strip()
        if operator != "=" or key not in OWN:
            query.filters.append(Filter(key, operator, value))
        elif key == "columns":
            query.columns = value.split(",")
        else:
            setattr(query, key, value)
    check_format(query.format)
    return query


def check_format(name: str) -> None:
    """Raise ConfigError for a format there is not."""
    if name not in FORMATS:
        raise ConfigError(f"format: there is no {name}; there is {', '.join(FORMATS)}")


def check_key(key: str, records: Sequence[RunRecord]) -> None:
    """Raise ConfigError, with the nearest right name, for a key that no run has."""
    known = {name: None for record in records for name in record.names()}
    if key in known or key in FACTS or any(record.get(key) is not None for record in records):
        return
    logged = {name: None for record in records for name in record.logged()}
    words = [*known, *logged, *OWN]
    raise ConfigError(f"{key}: no run has such a key{nearest_key(key, words)}")


def _equal(found: Any, wanted: str) -> bool:
    if found is None or isinstance(found, bool):
        return wanted.lower() == ("null" if found is None else str(found).lower())
    number = _number(wanted)
    if number is not None and isinstance(found, (int, float)):
        return float(found) == number
    return fnmatchcase(str(found), wanted)


def _ordered(found: Any, operator: str, wanted: str) -> bool:
    number = _number(wanted)
    pair: tuple[Any, Any] = (found, number) if isinstance(found, (int, float)) else (str(found), wanted)
    if pair[1] is None:
        raise ConfigError(f"{wanted}: write a number behind {operator}")
    left, right = pair
    return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[operator]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sorted(records: Sequence[RunRecord], sort: str) -> list[RunRecord]:
    """Sort by a value; runs that have none come last, numbers before text."""
    key = sort.removeprefix("-")
    having = [record for record in records if record.get(key) is not None]
    having.sort(key=lambda record: _rank(record.get(key)), reverse=sort.startswith("-"))
    return having + [record for record in records if record.get(key) is None]


def _rank(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, (int, float))
    return (not is_number, float(value) if is_number else 0.0, str(value))


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


ENVIRONMENT = ("commit", "python", "threads", "host", "processor", "cpus", "gpus")


def differences(one: RunRecord, other: RunRecord) -> list[dict[str, Any]]:
    """Return a row for each value of the configuration, the surroundings and the results that differs."""
    pairs = [
        (one.config, other.config),
        (_data(one.folder), _data(other.folder)),
        (_code(one.folder), _code(other.folder)),
        (_environment(one.folder), _environment(other.folder)),
        (_results(one), _results(other)),
    ]
    return [
        {"key": key, one.name: here.get(key), other.name: there.get(key)}
        for here, there in pairs
        for key in dict.fromkeys([*here, *there])
        if here.get(key) != there.get(key)
    ]


def _data(folder: Path) -> dict[str, str]:
    return {f"data: {key}": short(value) for key, value in (read_json(folder / "data.json") or {}).items()}


def _code(folder: Path) -> dict[str, str]:
    return {f"code: {name}": crc for name, crc in check_sums(folder / CODE).items()}


def _environment(folder: Path) -> dict[str, Any]:
    found = environment_of(starts(folder)[-1])
    packages = found.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    return {key: found.get(key) for key in ENVIRONMENT} | dict(versions)


def _results(record: RunRecord) -> dict[str, Any]:
    return {"status": record.get("status"), "seconds": record.get("seconds"), **record.metrics}

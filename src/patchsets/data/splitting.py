"""Which examples are train, val and test: fixed by a seed, by folds, or as the data themselves say.

Shapes: N examples, K labels of one of them, M groups.
"""

import logging
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from workbench.common.errors import ConfigError, DataError
from workbench.common.limits import Limit, Share

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
UNKNOWN = -1  # a fold that was not said
Folds = Annotated[int | None, Limit(lambda value: value is None or value > 1, "a number above 1, or null")]
Fold = Annotated[int | None, Limit(lambda value: value is None or value >= 0, "0 or more, or null")]


@dataclass(frozen=True)
class Splitting:
    """What was asked for: shares to hold out, or `fold` of `folds` to test on; `split_seed` draws both.

    A `val_fraction` of 0 leaves no val split. With folds, val is held out of the folds that are not tested.
    Where it is not `stratified`, shares are of all examples, whatever their classes; folds always are.
    """

    val_fraction: Share = 0.15
    test_fraction: Share = 0.15
    split_seed: int = 0
    folds: Folds = None
    fold: Fold = None
    stratified: bool = True

    def __post_init__(self) -> None:
        if self.folds is not None and (self.fold is None or self.fold >= self.folds):
            raise ConfigError(
                f"data.fold: {self.fold} is none of {self.folds} folds; say which one is tested, data.fold=0 "
                f"to {self.folds - 1}, or 'data.fold=range({self.folds})' -m for all in turn"
            )


@dataclass(frozen=True)
class Examples:
    """N examples, and what is known of each; what is None is not known.

    `label` is a class `[N]`, 0 or 1 of several `[N, K]`, or numbers where there are no `classes`. `split` is
    train, val or test. No two examples of one `group`, such as a patient, are in different splits; nor are
    two of the same `content` (a hash), unless `split` puts them there.
    """

    name: Sequence[str]  # for messages
    label: np.ndarray
    classes: Sequence[str]
    split: Sequence[str] | None = None
    group: Sequence[str] | None = None
    fold: Sequence[int] | None = None
    content: Sequence[str] | None = None


def divide(examples: Examples, how: Splitting) -> dict[str, np.ndarray]:
    """Return the rows of train, val and test, sorted; without "val" where no example is in it.

    A `split` or `fold` of the examples' own wins over fractions; a split that it does not name is held out of
    train. Raises ConfigError where the folds asked for cannot be, or the examples have splits already;
    DataError naming every group that is in two splits or folds, and every class that is missing from one that
    was drawn (of one that was given, the log names it).
    """
    together = _joined(examples)
    if how.fold is not None:
        if {"val", "test"} & set(examples.split or []):
            raise ConfigError(
                "data.fold: the data say which examples are train, val and test; folds would train on their "
                "test examples. Leave out data.folds and data.fold, or give the data without splits"
            )
        fold = _folds(examples, how, together)
        given = np.where(fold == how.fold, "test", "train")
    elif examples.split is None and examples.fold is not None:
        raise ConfigError("data.fold: the examples have folds; say which one is tested: data.fold=0")
    else:
        given = np.array(examples.split or ["train"] * len(examples.name))
        _check_apart(examples.group, given, "splits")
    parts = {split: np.flatnonzero(given == split) for split in SPLITS}
    held = _hold_out(parts["train"], examples, how, together)
    made = {"train", *(split for split in SPLITS if not len(parts[split]))}
    rest = [held[split] for split in SPLITS if split in held and split not in made]
    parts |= {split: held.get(split, parts[split]) for split in made}
    parts["train"] = np.sort(np.concatenate([held["train"], *rest]))
    if not len(parts["test"]):
        raise ConfigError("data.test_fraction: 0 leaves no example to test on")
    if not len(parts["val"]):
        del parts["val"]
    if how.stratified:
        _check_classes({split: parts[split] for split in parts if split in made}, examples, together)
        if found := lacking({split: parts[split] for split in parts if split not in made}, examples):
            log.warning("data: %s; metrics of such a split leave these classes out", "; ".join(found))
    return parts


def all_tested(count: int) -> dict[str, np.ndarray]:
    """Return all rows as the test split; as train, too, where what it holds is asked for but not learned."""
    return {"train": np.arange(count), "test": np.arange(count)}


def as_known(label: np.ndarray, own: Sequence[str], known: Sequence[str] | None) -> np.ndarray:
    """Return labels of one's `own` classes as those of a network that knows others too.

    Raises DataError naming the classes that it does not know.
    """
    if known is None or list(own) == list(known):
        return label
    if strange := [name for name in own if name not in known]:
        there = ", ".join(known) or "none"
        raise DataError(f"data: the network does not know {', '.join(strange)}; its classes are {there}")
    place = [list(known).index(name) for name in own]
    if label.ndim == 1:
        return np.array(place)[label]
    wider = np.zeros((len(label), len(known)), label.dtype)
    wider[:, place] = label
    return wider


def split_rows(count: int, val: float, test: float, seed: int) -> dict[str, np.ndarray]:
    """Return which of `count` rows are train, val and test, by the fractions of the last two."""
    order = np.random.default_rng(seed).permutation(count)
    tested, validated = round(count * test), round(count * val)
    parts = np.split(order, [tested, tested + validated])
    return dict(zip(("test", "val", "train"), map(np.sort, parts), strict=True))


def hold_out(group: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Return which rows are held out, bool: a share of the groups, one at least, and not all.

    Raises ValueError where there is one group only.
    """
    names, member = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{len(names)} groups cannot be divided")
    held = min(len(names) - 1, max(1, round(len(names) * fraction)))
    order = np.random.default_rng(seed).permutation(len(names))
    return np.isin(member, order[:held])


def split_groups(
    group: Sequence[str], stratum: np.ndarray, val: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Return which rows are train, val and test: of each stratum its share, rows of one group together.

    A group of several strata counts for the rarest of them. Test and val get one group of each stratum at
    least, none at all where their share is 0; a stratum of fewer than three is missing elsewhere.
    """
    _, member = np.unique(group, return_inverse=True)
    stratum_M = _rarest(member, stratum)
    order = np.random.default_rng(seed).permutation(len(stratum_M))
    part = np.empty(len(stratum_M), np.int64)
    for each in np.unique(stratum_M):
        groups = order[stratum_M[order] == each]
        tested, validated = (share and max(1, round(len(groups) * share)) for share in (test, val))
        part[groups] = np.digitize(np.arange(len(groups)), [tested, tested + validated])
    return {split: np.flatnonzero(part[member] == p) for p, split in enumerate(("test", "val", "train"))}


def _rarest(member: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return for each group `[M]` the one of its strata that the fewest groups have."""
    pairs = np.unique(np.stack([member, stratum]), axis=1)
    _, kind, count = np.unique(pairs[1], return_inverse=True, return_counts=True)
    pairs = pairs[:, np.lexsort((pairs[1], count[kind], pairs[0]))]
    _, first = np.unique(pairs[0], return_index=True)
    rarest: np.ndarray = pairs[1][first]
    return rarest


def _strata(examples: Examples) -> np.ndarray:
    """Return what is shared out evenly `[N]`: classes, of several labels the rarest, of numbers nothing."""
    label = examples.label
    if not examples.classes:
        return np.zeros(len(label), np.int64)
    if label.ndim == 1:
        return label
    order = label.sum(0).argsort(kind="stable")
    return np.where(label.any(1), order[label[:, order].argmax(1)], len(order))


def _joined(examples: Examples) -> Sequence[str]:
    """Return which examples must stay together: of one group, or of one content, or by way of another."""
    group, content = examples.group, examples.content
    if group is None or content is None:
        return group or content or examples.name
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, groups = np.unique(group, return_inverse=True)
    _, contents = np.unique(content, return_inverse=True)
    contents += groups.max() + 1
    links = coo_matrix((np.ones(len(groups)), (groups, contents)), shape=(contents.max() + 1,) * 2)
    return [str(part) for part in connected_components(links, directed=False)[1][groups]]


def _hold_out(
    rows: np.ndarray, examples: Examples, how: Splitting, together: Sequence[str]
) -> dict[str, np.ndarray]:
    test = 0.0 if how.fold is not None else how.test_fraction
    if how.stratified:
        group, strata = [together[row] for row in rows], _strata(examples)[rows]
        held = split_groups(group, strata, how.val_fraction, test, how.split_seed)
    else:
        held = split_rows(len(rows), how.val_fraction, test, how.split_seed)
    return {split: rows[part] for split, part in held.items()}


def _folds(examples: Examples, how: Splitting, together: Sequence[str]) -> np.ndarray:
    """Return the fold of each example `[N]`: its own, or one drawn."""
    if examples.fold is not None:
        fold = np.array(examples.fold)
        _check_apart(examples.group, fold, "folds")
    elif how.folds is None:
        raise ConfigError("data.folds: say how many folds there are, such as data.folds=5")
    else:
        fold = _draw_folds(_strata(examples), together, how.folds, how.split_seed)
    if how.fold not in fold:
        known = ", ".join(map(str, np.unique(fold)))
        raise ConfigError(f"data.fold: {how.fold} is none of the folds of the data, which are {known}")
    if examples.label.ndim == 1:
        _check_classes(
            {f"fold {one}": np.flatnonzero(fold == one) for one in np.unique(fold)}, examples, together
        )
    return fold


def _draw_folds(stratum: np.ndarray, together: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Draw folds as scikit-learn does; by groups only where there are any, which takes much longer."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    names, member = np.unique(together, return_inverse=True)
    if folds > len(names):
        raise ConfigError(f"data.folds: {folds} folds of {len(names)} different examples, or groups")
    has_groups = len(names) < len(stratum)
    kind = StratifiedGroupKFold if has_groups else StratifiedKFold
    fold = np.empty(len(stratum), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of too few is named by the check of classes
        drawn = kind(folds, shuffle=True, random_state=seed)
        try:
            tested = [rows for _, rows in drawn.split(stratum, stratum, member if has_groups else None)]
        except ValueError as error:
            raise ConfigError(f"data.folds: {error}") from error
    for number, rows in enumerate(tested):
        fold[rows] = number
    return fold


def torn(group: Sequence[str] | None, part: Sequence[Any] | None) -> list[str]:
    """Return the groups that are in several parts, such as splits or folds, and in which."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, where in zip(group or [], part or [], strict=False):
        if where not in ("", UNKNOWN):
            found[name].add(str(where))
    return [f"{name} ({', '.join(sorted(where))})" for name, where in found.items() if len(where) > 1]


def _check_apart(group: Sequence[str] | None, part: np.ndarray, parts: str) -> None:
    if found := torn(group, part.tolist()):
        raise DataError(f"{len(found)} groups are in two {parts}, put each into one: {'; '.join(found)}")


def lacking(parts: dict[str, np.ndarray], examples: Examples) -> list[str]:
    """Say which classes are missing from which parts; of several labels, those missing from train alone."""
    missing = {part: _missing(examples.label[rows], examples.classes) for part, rows in parts.items()}
    return [
        f"{part} has no {', '.join(names)}"
        for part, names in missing.items()
        if names and (examples.label.ndim == 1 or part == "train")
    ]


def _check_classes(parts: dict[str, np.ndarray], examples: Examples, together: Sequence[str]) -> None:
    """Raise DataError naming every class that is missing from a part."""
    if found := lacking(parts, examples):
        names = {name for rows in parts.values() for name in _missing(examples.label[rows], examples.classes)}
        counts = [f"{n} ({_different(n, examples, together)})" for n in examples.classes if n in names]
        raise DataError(
            f"too few different examples of {', '.join(counts)} to be everywhere: {'; '.join(found)}; add "
            "some, or change data.val_fraction, data.test_fraction, data.folds or data.split_seed"
        )


def _missing(label: np.ndarray, classes: Sequence[str]) -> list[str]:
    there = np.flatnonzero(label.any(axis=0)) if label.ndim == 2 else np.unique(label)
    return [name for c, name in enumerate(classes) if c not in there]


def _different(name: str, examples: Examples, together: Sequence[str]) -> int:
    """Count the different examples, or groups, of a class."""
    c = list(examples.classes).index(name)
    has = examples.label[:, c] > 0 if examples.label.ndim == 2 else examples.label == c
    return len({together[row] for row in np.flatnonzero(has).tolist()})

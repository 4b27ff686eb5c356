"""The values a key can have, where Hydra shows only the one it has; and what kind of value it is.

Every answer that Hydra gives about a script's configuration under one set of overrides.
"""

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.utils import get_args_parser
from hydra.core.object_type import ObjectType
from omegaconf import BooleanNode, DictConfig, EnumNode, Node, OmegaConf, PathNode
from omegaconf.errors import OmegaConfBaseException

from workbench.common.redaction import is_secret_name, redact
from workbench.common.workspace import ROOT
from workbench.completion import cache
from workbench.completion.cache import Row
from workbench.completion.loader import Loader, Script
from workbench.config.optimizers import SCHEDULES, optimizer_names
from workbench.config.schema import KEEP
from workbench.run.metrics_file import HIGHER_IS_BETTER

RUN_KEYS = ("resume", "repeat", "init_from")
OTHER_KEY = re.compile(r"\$\{[^:{}]*\}")
PATH_WORDS = {"path", "dir", "directory", "folder", "root", "file", "filename", "outputs"}


def choices(config: DictConfig, key: str, shown: list[str]) -> list[str]:
    """Return the values a key can have, those `shown` included."""
    node = _node(config, key)
    if key == "hparams.optimizer":
        return optimizer_names(config.get("optimizers") or {})
    if key == "hparams.schedule":
        return [*SCHEDULES, *(config.get("schedules") or {}), "null"]
    if key == "hparams.keep":
        return list(KEEP)
    if key == "task.monitor":
        return [f"val/{name}" for name in ("loss", *HIGHER_IS_BETTER)]
    if key == "task.monitor_mode":
        return ["min", "max", "null"]
    if key in RUN_KEYS:
        return [f"{_as_typed(Path(config.outputs))}/", "multirun/"]
    if isinstance(node, EnumNode):
        return [member.name for member in node.enum_type]
    if isinstance(node, BooleanNode) or shown in (["true"], ["false"]):
        return ["true", "false"]
    return shown


def kind(config: DictConfig, key: str, shown: list[str]) -> str:
    """Return the kinds of a row, as cache.py lists them."""
    node = _node(config, key)
    words = key.rpartition(".")[2].lower().split("_")
    kinds = ["derived"] if node is not None and OTHER_KEY.search(str(node._value())) else []
    if key in RUN_KEYS:
        kinds.append("run")
    elif isinstance(node, PathNode) or PATH_WORDS.intersection(words) or _is_path(shown):
        kinds.append("path")
    return " ".join(kinds) or "plain"


def _is_path(shown: list[str]) -> bool:
    return any(value.startswith(("/", "./", "../", "~/")) for value in shown)


def _as_typed(folder: Path) -> Path:
    return folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder


def _node(config: DictConfig, key: str) -> Node | None:
    parent_key, _, name = key.rpartition(".")
    try:
        parent = OmegaConf.select(config, parent_key) if parent_key else config
        node = parent._get_node(name) if isinstance(parent, DictConfig) else None
    except OmegaConfBaseException:
        return None
    return node if isinstance(node, Node) else None


FIRST = ("", "+", "~", "-", "--cfg=", "--info=", "--config-name=")
# Resolvers whose value depends on files only; what any other one gives is worked out at each TAB.
PURE = {"workspace", "oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select"}
OF_THE_LINE = ("hydra.overrides.", "hydra.job.override_dirname=")


class Composed:
    """A table whose rows are worked out when they are asked for."""

    def __init__(self, script: Script, overrides: list[str], resolvers_used: set[str]) -> None:
        self.overrides = overrides
        self._script, self._used = script, resolvers_used
        self._loader = Loader(script, overrides)
        self._plugin = BashCompletion(self._loader)
        self._rows: dict[str, Row] = {}
        self._watched = [*_watched(script, self._loader)]
        self._fingerprint = cache.fingerprint(self._watched)

    def row(self, base: str) -> Row:
        """Return the row of a base."""
        if base not in self._rows:
            self._rows[base] = self._flag(base) if base.startswith("-") else self._key(base)
        return self._rows[base]

    def groups(self) -> set[str]:
        """Return the names of the config groups at the root."""
        return {*self._loader.get_group_options("", ObjectType.GROUP)}

    def _flag(self, base: str) -> Row:
        if base == "--config-name=":
            names = self._loader.get_group_options("")
            return Row("plain", [base + name for name in names if not name.startswith("_")])
        flags = {name: action for action in get_args_parser()._actions for name in action.option_strings}
        if base == "-":
            return Row("plain", [name for name in flags if name.startswith("--")])
        action = flags.get(base[:-1])
        return Row("plain", [base + value for value in (action and action.choices) or []])

    def _key(self, base: str) -> Row:
        config = self._loader.config
        self._used.clear()
        found = self._ask(base)
        if base.startswith(OF_THE_LINE):
            return Row("derived", found)
        if not base.endswith("="):
            return Row("plain", found)
        key = base[:-1]
        if self._loader.get_group_options(key.lstrip("+~")):
            return Row("group", found)
        from_environment = "oc.env" in self._used  # which may be a secret under any name
        shown = [] if from_environment else _without_secrets(key, [text[len(base) :] for text in found])
        row_kind = kind(config, key, shown) if from_environment or self._used <= PURE else "live"
        return Row(row_kind, [base + value for value in choices(config, key, shown)])

    def _ask(self, base: str) -> list[str]:
        try:
            found = self._plugin._query(self._script.config_name, base)
        except Exception:  # a value that cannot be resolved here has no answer; Hydra would show a traceback
            return []
        return [candidate for candidate in found if candidate.isprintable()]

    def write(self, key: str) -> None:
        """Work out all rows and put them in the cache, unless there is no place for one."""
        lines = [key, "\t".join(self._watched), self._fingerprint]
        lines += ["\t".join([base, row.kind, *row.candidates]) for base, row in self._all_rows()]
        try:
            _replace(Path(cache.path_of(key)), "\n".join(lines))
        except OSError:
            return

    def _all_rows(self) -> Iterator[tuple[str, Row]]:
        bases = [*FIRST]
        for base in bases:
            row = self.row(base)
            yield base, row
            for candidate in row.candidates if "=" not in base else ():
                bases += [candidate] if candidate[-1] in ".=/" else [candidate + "=", candidate + "/"]


def _without_secrets(key: str, values: list[str]) -> list[str]:
    named_so = is_secret_name(key)
    return [value for value in values if redact(value) == value and not (named_so and not _is_number(value))]


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).replace("-", "", 1).isdecimal()


def _watched(script: Script, loader: Loader) -> Iterator[str]:
    """Name what the answers depend on: configurations, the schema and all it imports, installed packages."""
    yield str(script.path)
    yield from (folder.rstrip("/") + "/" for folder in loader.folders())
    yield from (
        str(module.__file__)
        for name, module in sys.modules.items()
        if name.startswith(("patchsets.", "workbench."))
    )
    yield str(ROOT / "src/hydra_plugins") + "/"
    yield sysconfig.get_path("purelib")


def _replace(path: Path, text: str) -> None:
    """Write a file at once and whole; remove the tables that have not been written for longest."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(text, encoding="utf-8", errors="surrogateescape")
    new.replace(path)
    tables = sorted(path.parent.glob("*.table"), key=lambda table: table.stat().st_mtime)
    for table in tables[: -cache.KEPT]:
        table.unlink(missing_ok=True)

"""The values a key can have, where Hydra shows only the one it has; and what kind of value it is."""

import re
from pathlib import Path

from omegaconf import BooleanNode, DictConfig, EnumNode, Node, OmegaConf, PathNode
from omegaconf.errors import OmegaConfBaseException

from workbench.common.workspace import ROOT
from workbench.config.optimizers import SCHEDULES, optimizer_names

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

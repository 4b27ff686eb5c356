"""Which runs of a grid are there already: by what changes a result, not by the words that were typed."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from workbench.config.build import RESERVED, TRUSTED
from workbench.config.hparams import unread
from workbench.config.schema import schema
from workbench.config.signatures import signature
from workbench.config.strangers import as_stranger
from workbench.run.folder import run_folders
from workbench.run.starts import starts
from workbench.run.summary import status

# What does not change the result of a run, at the root and below it.
WITHOUT_EFFECT = (
    "outputs", "experiment_name", "tags", "note", "loggers", "resume", "repeat", "sweep", "save_model",
    "trusted_targets", "data.num_workers", "data.cache", "trainer.accelerator", "trainer.log_every_n_steps",
    "trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.profiler", "trainer.logger",
)  # fmt: skip
BROKEN_OFF = ("interrupted", "dead")
DEFAULTS: Any = OmegaConf.to_container(schema())


class KnownRuns:
    """The runs in outputs/, and the trials of sweeps in multirun/ beside it, as they bear on a grid."""

    def __init__(self, outputs: Path, configs: Sequence[DictConfig]) -> None:
        self._targets = {target for config in configs for target in _targets(_plain(config))}
        self._finished: dict[str, Path] = {}
        self._broken_off: dict[str, Path] = {}
        for folder in sorted(run_folders(outputs), key=lambda path: path.name, reverse=True):  # newest first
            self.add(folder, self._broken_off)
        for folder in run_folders(outputs.parent / "multirun"):  # whose sweeps go on with what they lack
            self.add(folder)

    def add(self, folder: Path, broken_off: dict[str, Path] | None = None) -> None:
        """Look at one more run folder; one that is damaged is no run."""
        ended_as = status(folder)
        kept = self._finished if ended_as == "finished" else broken_off if ended_as in BROKEN_OFF else None
        if kept is None:
            return
        try:
            asked = {self._what_matters(_read(start)) for start in starts(folder)}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError):
            return
        if len(asked) == 1:  # else it was changed on its way, and is another run
            kept.setdefault(asked.pop(), folder)

    def find(self, config: DictConfig) -> Path | None:
        """Return the newest finished run that was started with what matters of a configuration."""
        return self._finished.get(self._what_matters(_plain(config)))

    def broken_off(self, config: DictConfig) -> Path | None:
        """Return the newest run of a configuration that was stopped or killed, and can go on."""
        return self._broken_off.get(self._what_matters(_plain(config)))

    def _what_matters(self, config: dict[str, Any]) -> str:
        """Return all of a configuration that can change a result, in one text."""
        plain = as_stranger(config)
        plain = {**DEFAULTS, **plain, "hparams": {**DEFAULTS["hparams"], **plain["hparams"]}}
        for key in unread(plain):
            del plain["hparams"][key]
        plain = _resolved(plain, plain)
        for path in WITHOUT_EFFECT:
            group, _, key = path.rpartition(".")
            (plain.get(group) or {} if group else plain).pop(key, None)
        for table, chosen in (("optimizers", "optimizer"), ("schedules", "schedule")):
            options = (plain.get(table) or {}).get(plain["hparams"][chosen])
            plain[table] = options or {}
        return json.dumps(_bare(plain, self._targets), sort_keys=True)


def _plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)


def _read(start: Path) -> Any:
    """Read a configuration in a tenth of the time that OmegaConf takes: there may be thousands."""
    return yaml.load((start / "config.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def _resolved(node: Any, root: Any) -> Any:
    """Return plain values with those that `${a.b}` reads in its place; what cannot be read stays a text."""
    if isinstance(node, dict):
        return {key: _resolved(value, root) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolved(each, root) for each in node]
    if not isinstance(node, str) or not (reads := re.fullmatch(r"\$\{([\w.]+)\}", node)):
        return node
    try:
        return _resolved(reduce(lambda part, key: part[key], reads[1].split("."), root), root)
    except (KeyError, TypeError):
        return node


def _targets(node: Any) -> list[str]:
    """Return every `_target_` of a configuration."""
    if isinstance(node, list):
        return [target for each in node for target in _targets(each)]
    if not isinstance(node, Mapping):
        return []
    own = [str(node["_target_"])] if "_target_" in node else []
    return own + [target for each in node.values() for target in _targets(each)]


def _bare(node: Any, targets: set[str]) -> Any:
    """Return plain values without what a target would take by itself; 2.0 and 2 are the same number.

    A run folder may name anything: of `targets` alone the defaults are asked, which imports them.
    """
    if isinstance(node, list):
        return [_bare(each, targets) for each in node]
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if not isinstance(node, dict):
        return node
    bare = {str(key): _bare(value, targets) for key, value in node.items()}
    target = str(node.get("_target_"))
    defaults = _defaults(target) if target in targets else {}
    return {key: value for key, value in bare.items() if key in RESERVED or _differs(value, key, defaults)}


def _differs(value: Any, key: str, defaults: Mapping[str, Any]) -> bool:
    return key not in defaults or _bare(defaults[key], set()) != value


def _defaults(target: str) -> dict[str, Any]:
    """Return the plain defaults of what a target takes by name; a part of one's own may hand on others."""
    if not target.startswith(TRUSTED):
        return {}
    try:
        parameters = signature(target).parameters
    except ImportError:
        return {}
    return {
        name: list(each.default) if isinstance(each.default, tuple) else each.default
        for name, each in parameters.items()
        if isinstance(each.default, (str, int, float, bool, list, tuple, dict, type(None)))
    }

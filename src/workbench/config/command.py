"""Words `key=value` of the small commands: taken as they are typed, so that any path may stand there.

Words of the command line, before Hydra reads them.
"""

import dataclasses
import importlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from workbench.common.errors import ConfigError, UserError, nearest
from workbench.common.hydra_flags import FLAGS_WITH_VALUE
from workbench.common.process import begin_process
from workbench.common.workspace import ROOT, quoted, shortest

Words = TypeVar("Words")


def command(about: str, act: str, defaults: Path | None = None) -> int:
    """Let `act`, "module:function", do what this process was told, and return the exit code.

    The words are read into the dataclass `Words` of the module, which loads late: it may bring torch.
    """
    if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
        print(about.strip())
        return 0
    try:
        begin_process()
        module = importlib.import_module(act.partition(":")[0])
        return int(getattr(module, act.partition(":")[2])(read_words(module.Words, sys.argv[1:], defaults)))
    except UserError as error:
        return error.tell()
    except KeyboardInterrupt:
        return 130


def read_words(kind: type[Words], typed: Sequence[str], defaults: Path | None = None) -> Words:
    """Return the dataclass with what stands in the YAML file `defaults`, then what was typed.

    Raises ConfigError for what is no word, an unknown key, or a value of another type.
    """
    config = OmegaConf.structured(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if defaults is not None:
        config = OmegaConf.merge(config, OmegaConf.load(defaults))
    for word in typed:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word}: write key=value; keys are {', '.join(known)}")
        if key not in known:
            raise ConfigError(f"{key}: there is no such key{nearest(key, known) or f'; keys are {known}'}")
        _set(config, key, value)
    return OmegaConf.to_object(config)  # type: ignore[return-value]


def _set(config: Any, key: str, value: str) -> None:
    try:
        config[key] = None if value == "null" else value
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def quote_note(words: Iterable[str]) -> list[str]:
    """Return the words with the text behind `note=` quoted: a note is prose, never a list or a sweep."""
    return [_quoted_note(word) for word in words]


def _quoted_note(word: str) -> str:
    key, _, text = word.partition("=")
    if key != "note" or re.fullmatch(r"(['\"]).*\1", text, re.DOTALL):
        return word
    # In Hydra's grammar a backslash is special before a quote only.
    return 'note="' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + '\\"' * bool(found[2]), text) + '"'


def words_beside_a_run(words: Sequence[str]) -> list[str]:
    """Let keys of a run's own parts be typed beside `resume=` and `repeat=`: Hydra composes other parts."""
    if not any(word.startswith(("resume=", "repeat=")) for word in words):
        return [*words]
    return [f"++{word}" if re.match(r"(data|model|task|trainer)\.[\w.]+=", word) else word for word in words]


def flags_last(words: Sequence[str]) -> list[str]:
    """Return a command line's words with its flags behind them: argparse reads words on one side only."""
    flags, others, owner = list[str](), list[str](), ""
    for word in words:
        is_value = owner in (*FLAGS_WITH_VALUE, *FLAGS_WITH_VALUE.values()) and "=" not in word
        (flags if word.startswith("-") or is_value else others).append(word)
        owner = word
    return [*others, *flags]


NOT_OF_A_RUN = (
    "hydra/launcher",
    "hydra.launcher",
    "hydra/sweeper",
    "hydra.sweep",
    "hydra.mode",
    "hydra.run.",
)


def words_for_hydra(node: DictConfig) -> list[str]:
    """Return the flags and words by which Hydra found what is composed, for a command that runs one trial.

    `node` is the configuration's `hydra`; paths are absolute, so that the command works in any folder.
    """
    words = [word for word in node.overrides.hydra if not word.startswith(NOT_OF_A_RUN)]
    if node.job.config_name != "config":
        words.append(f"--config-name={node.job.config_name}")
    flags = {"main": "--config-path", "command-line": "--config-dir"}
    for source in node.runtime.config_sources:
        if source.provider in flags and source.schema == "file" and Path(source.path) != ROOT / "config":
            words.append(f"{flags[source.provider]}={source.path}")
    return words


def resume_command(folder: Path) -> str:
    """Return the command by which a run goes on, quoted for Hydra and for the shell."""
    return train_command([f"resume={quoted(shortest(folder))}"])


def train_command(words: Sequence[str]) -> str:
    """Return the command that runs these words, ready to paste."""
    return shlex.join(["python", "src/train.py", *words])

"""A grid of runs: every combination of the words typed with commas; what is missing is run by train.py."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT
from workbench.config.checks import check_config
from workbench.config.strangers import read_stranger
from workbench.run.folder import is_run_folder
from workbench.run.starts import starts
from workbench.run.summary import status

# What does not change the result of a run, at the root and below it.
WITHOUT_EFFECT = (
    "outputs", "experiment_name", "tags", "note", "loggers", "resume", "repeat", "sweep", "save_model",
    "trusted_targets", "data.num_workers", "trainer.log_every_n_steps", "trainer.enable_progress_bar",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of the grid: its words, its configuration, and what it has of each key with several values."""

    words: tuple[str, ...]
    config: DictConfig
    varied: dict[str, str]


def grid_of(words: Sequence[str]) -> Iterator[Cell]:
    """Give every combination, the last word varying fastest, each checked before anything runs."""
    overrides = OverridesParser.create().parse_overrides(list(words))
    choices = [_choices(override) for override in overrides]
    varied = {o.get_key_element(): n for n, o in enumerate(overrides) if len(choices[n]) > 1}
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        for chosen in itertools.product(*choices):
            config = compose("config", overrides=list(chosen))
            check_config(config)
            _check_environment(config)
            yield Cell(chosen, config, {key: chosen[n].partition("=")[2] for key, n in varied.items()})


def _check_environment(config: DictConfig) -> None:
    """Refuse data that a variable names: a run with another value of it would count as this one."""
    plain = OmegaConf.to_container(config.data, resolve=False)
    assert isinstance(plain, dict)
    for key, value in plain.items():
        if isinstance(value, str) and "oc.env" in value:
            raise ConfigError(f"data.{key!s}: it comes from the environment; say here which, data.{key!s}=")


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if override.is_interval_sweep():
        raise ConfigError(f"{override.input_line}: a grid wants values, with commas between them")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


class FinishedRuns:
    """The finished runs in outputs/, and the trials of sweeps in multirun/ beside it, by configuration."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._configs: dict[Path, Any] = {}

    def find(self, config: DictConfig) -> Path | None:
        """Return the newest finished run, or a trial, started with what matters of a configuration."""
        wanted = _what_matters(config)
        runs, trials = self._outputs.glob("*/*/"), self._outputs.parent.glob("multirun/*/*/*/")
        for folder in [*sorted(runs, key=lambda path: path.name, reverse=True), *trials]:
            if folder.name == "latest" or not is_run_folder(folder) or status(folder) != "finished":
                continue
            if folder not in self._configs:  # of each start: one changed on its way is another run
                self._configs[folder] = [_what_matters(read_stranger(start)) for start in starts(folder)]
            if all(config == wanted for config in self._configs[folder]):
                return folder
        return None


def _what_matters(config: DictConfig) -> Any:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    for path in WITHOUT_EFFECT:
        group, _, key = path.rpartition(".")
        (plain.get(group) or {} if group else plain).pop(key, None)
    return plain


def run_missing(cells: Sequence[Cell], finished: FinishedRuns) -> int:
    """Run each cell that has no finished run, in a process of its own; return how many of them failed."""
    missing = [cell for cell in cells if finished.find(cell.config) is None]
    print(f"{len(cells)} runs in the grid, {len(cells) - len(missing)} of them finished before")
    failed = 0
    for number, cell in enumerate(missing, start=1):
        print(f"[{number}/{len(missing)}] {redact(' '.join(cell.words))}", end=" ", flush=True)
        begun = time.monotonic()
        error = train(cell.words)
        if error is None and finished.find(cell.config) is None:
            error = "it finished, but not with the configuration that was asked for"
        print(f"failed: {error}" if error else f"({time.monotonic() - begun:.0f} s)", flush=True)
        failed += error is not None
    return failed


def train(words: Sequence[str]) -> str | None:
    """Start train.py and wait; return its error, if there was one."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        command = [sys.executable, str(ROOT / "src" / "train.py"), *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process:
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()  # it heard the same Ctrl-C, and closes its run folder
                raise
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    if process.returncode == 0:
        return None
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"exit code {process.returncode}"])[-1]

"""A grid of runs: every combination of the words typed with commas; what is missing is run by train.py."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.workspace import ROOT
from workbench.config.checks import check_config
from workbench.config.strangers import as_written, read_stranger
from workbench.run.folder import is_run_folder, name_folder
from workbench.run.starts import starts
from workbench.run.summary import status
from workbench.search.processes import run_each, why_it_failed
from workbench.search.space import Choices, Range, read_space

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
    space = read_space(words, None, as_study=False)
    lists = [parameter.labels for parameter in space.parameters if isinstance(parameter, Choices)]
    if not space.is_finite:
        named = ", ".join(parameter.name for parameter in space.parameters if isinstance(parameter, Range))
        raise ConfigError(f"{named}: a grid wants values, with commas between them")
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        for labels in itertools.product(*lists):
            values = {each.name: label for each, label in zip(space.parameters, labels, strict=True)}
            swept = space.words(values)
            config = compose("config", overrides=[*space.fixed, *swept])
            check_config(config)
            _check_environment(config)
            varied = dict(word.lstrip("+").split("=", 1) for word in swept)
            yield Cell((*space.fixed, *swept), config, varied)


def _check_environment(config: DictConfig) -> None:
    """Refuse data that a variable names: a run with another value of it would count as this one."""
    plain = OmegaConf.to_container(config.data, resolve=False)
    assert isinstance(plain, dict)
    for key, value in plain.items():
        if isinstance(value, str) and "oc.env" in value:
            raise ConfigError(f"data.{key!s}: it comes from the environment; say here which, data.{key!s}=")


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
    plain = as_written(OmegaConf.to_container(config, resolve=False))
    assert isinstance(plain, dict)
    for path in WITHOUT_EFFECT:
        group, _, key = path.rpartition(".")
        (plain.get(group) or {} if group else plain).pop(key, None)
    return plain


def run_missing(cells: Sequence[Cell], finished: FinishedRuns) -> int:
    """Run each cell that has no finished run, in a process of its own; return how many of them failed."""
    missing = [cell for cell in cells if finished.find(cell.config) is None]
    print(f"{len(cells)} runs in the grid, {len(cells) - len(missing)} of them finished before")
    folders: list[Path] = []
    begun = time.monotonic()

    def jobs() -> Iterator[tuple[int, list[str], Path]]:
        for number, cell in enumerate(missing):
            folders.append(name_folder(Path(cell.config.outputs), cell.config.experiment_name))
            words = [f"{key}={value}" for key, value in cell.varied.items()] or cell.words
            print(f"[{number + 1}/{len(missing)}] {' '.join(words)}", end=" ", flush=True)
            yield number, [*cell.words], folders[-1]

    failed = 0
    for number, result in run_each(jobs(), slots=1):
        error = why_it_failed(folders[number], result)
        if error is None and finished.find(missing[number].config) is None:
            error = "it finished, but not with the configuration that was asked for"
        seconds, begun = time.monotonic() - begun, time.monotonic()
        print(f"failed: {error}" if error else f"({seconds:.0f} s)", flush=True)
        failed += error is not None
    return failed

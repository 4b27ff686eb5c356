"""A grid of runs: every combination of the words typed with commas; what is missing is run, in this process.

So a run costs no start of Python and torch. One on several devices has a process of its own all the same.
"""

import itertools
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from workbench.common.errors import ConfigError, UserError
from workbench.common.workspace import ROOT, quoted, typed
from workbench.config.checks import check_config
from workbench.config.choose import choose_config
from workbench.config.hparams import drop_unread, refuse_unread
from workbench.run.folder import is_run_folder, name_folder
from workbench.search.finished import KnownRuns
from workbench.search.processes import CONSOLE, devices_of, memory_freed, run_each, why_it_failed
from workbench.search.space import Choices, Range, read_space

Train = Callable[[DictConfig], object]


@dataclass(frozen=True)
class Cell:
    """One run of the grid: its words, its configuration, and what it has of each key with several values."""

    words: tuple[str, ...]
    config: DictConfig
    varied: dict[str, str]


def grid_of(words: Sequence[str]) -> list[Cell]:
    """Return every combination, the last word varying fastest, each checked before anything runs."""
    space = read_space(words, None, as_study=False)
    lists = [parameter.labels for parameter in space.parameters if isinstance(parameter, Choices)]
    if not space.is_finite:
        named = ", ".join(parameter.name for parameter in space.parameters if isinstance(parameter, Range))
        raise ConfigError(f"{named}: a grid wants values, with commas between them")
    cells = []
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        for labels in itertools.product(*lists):
            values = {each.name: label for each, label in zip(space.parameters, labels, strict=True)}
            swept = space.words(values)
            composed = compose("config", overrides=[*space.fixed, *swept])
            _check_environment(composed)
            config = choose_config(composed, swept)
            varied = dict(word.lstrip("+").split("=", 1) for word in swept)
            cells.append(Cell((*space.fixed, *swept), config, varied))
    refuse_unread([cell.config for cell in cells])
    for cell in cells:
        drop_unread(cell.config)  # a hyper-parameter may be for other members of the grid
        _check(cell.config)
    return cells


def _check(config: DictConfig) -> None:
    """Refuse what cannot be right, and what is meant for one run alone."""
    check_config(config)
    for word in ("debug", "resume", "repeat"):
        if config[word]:
            raise ConfigError(f"{word}: it is for one run of src/train.py; leave it out here")


def _check_environment(config: DictConfig) -> None:
    """Refuse data that a variable names: a run with another value of it would count as this one."""
    plain = OmegaConf.to_container(config.data, resolve=False)
    assert isinstance(plain, dict)
    for key, value in plain.items():
        if isinstance(value, str) and "oc.env" in value:
            raise ConfigError(f"data.{key!s}: it comes from the environment; say here which, data.{key!s}=")


def run_missing(
    cells: Sequence[Cell], known: KnownRuns, train: Train, check: Callable[[Path], None] = lambda _: None
) -> int:
    """Run each cell without a finished run, going on where one was broken off; return how many failed.

    `train` runs one configuration, as src/train.py does; `check` may refuse to go on by what a run left.
    """
    for cell in cells:
        if found := known.find(cell.config):
            check(found)
    missing = [cell for cell in cells if known.find(cell.config) is None]
    print(f"{len(cells)} runs in the grid, {len(cells) - len(missing)} of them finished before", flush=True)
    failed = 0
    for number, cell in enumerate(missing, 1):
        words = [f"{key}={value}" for key, value in cell.varied.items()] or cell.words
        print(f"[{number}/{len(missing)}] {' '.join(words)}", end=" ", flush=True)
        if known.find(cell.config):  # as of a hyper-parameter that its model does not read
            print("(the same run as one before)", flush=True)
            continue
        begun = time.monotonic()
        folder = known.broken_off(cell.config)
        place = folder or name_folder(Path(cell.config.outputs), cell.config.experiment_name)
        error = _run(cell, place, known, train)
        went_on = " after it was broken off" if folder else ""
        print(f"failed: {error}" if error else f"({time.monotonic() - begun:.1f} s{went_on})", flush=True)
        failed += error is not None
        if not error and (found := known.find(cell.config)):
            check(found)
    return failed


def _run(cell: Cell, folder: Path, known: KnownRuns, train: Train) -> str | None:
    """Run a cell in a folder; return why it failed, in one line."""
    if devices_of(cell.config.trainer) > 1:
        _, result = next(run_each([(0, [*cell.words], folder)], slots=1))
    else:
        with memory_freed():
            result = _run_here(cell, folder, train)
    if error := why_it_failed(folder, result):
        if is_run_folder(folder) or (folder / CONSOLE).stat().st_size:
            return f"{error} ({typed(folder)})"
        shutil.rmtree(folder)  # refused before it began
        return error
    known.add(folder)
    return None if known.find(cell.config) else "it finished, but not with what was asked for"


def _run_here(cell: Cell, folder: Path, train: Train) -> JobReturn:
    """Run a cell in this process as train.py does; what it prints goes into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*cell.words, f"hydra.run.dir={quoted(folder.absolute())}"]
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose("config", overrides=words, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    with ExitStack() as stack:
        console = stack.enter_context((folder / CONSOLE).open("a", encoding="utf-8"))
        stack.enter_context(redirect_stdout(console))
        stack.enter_context(redirect_stderr(console))
        try:
            train(config)
        except Exception as error:
            if not isinstance(error, UserError):
                traceback.print_exc()
            return JobReturn(status=JobStatus.FAILED, _return_value=error)
    return JobReturn(status=JobStatus.COMPLETED)

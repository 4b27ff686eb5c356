"""Other data, judged by the trained network of a run: nothing is written until it is known to fit."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from workbench.common.errors import ConfigError, DataError
from workbench.common.files import read_json, write_json
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT
from workbench.models.load import rebuild
from workbench.run.checkpoints import read_checkpoint
from workbench.run.folder import find_folder, name_folder, weights_file
from workbench.run.log import begin_log, end_log
from workbench.train.summary_table import closing_table

if TYPE_CHECKING:
    from workbench.train.base import RunTask

NOTE = "evaluation.json"


@dataclass
class Asked:
    """What was typed: the run, where to write, and the words for its data."""

    run: str
    output: str | None = None
    data: dict[str, str] = field(default_factory=dict)


def read_words(typed: Sequence[str]) -> Asked:
    """Return what was typed; ConfigError for what is no such word."""
    asked = Asked("")
    for word in typed:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word}: write key=value; keys are run, output and those of data.")
        if key in ("run", "output"):
            setattr(asked, key, value)
        elif key.startswith("data."):
            asked.data[key.removeprefix("data.")] = value
        else:
            raise ConfigError(f"{key}: there is no such key; there is run, output and those of data.")
    if not asked.run:
        raise ConfigError("run: missing; write run=<run folder>")
    return asked


def evaluate(typed: Sequence[str]) -> int:
    """Judge the data that were asked for, and leave a folder that says by which run; return the exit code."""
    asked = read_words(typed)
    run = find_folder(asked.run, "run")
    folder = _new_folder(asked.output)
    begin_log()
    try:
        task, config, judged = _fitting_task(run, asked)
        metrics = _judge(task, config, folder, _note(run, asked, judged))
    finally:
        end_log()
    print(redact(closing_table(folder, metrics, [], called="evaluation")))
    return 0


def _new_folder(output: str | None) -> Path:
    if output is None:
        return name_folder(ROOT / "outputs", "evaluations")
    folder = Path(output).expanduser().absolute()
    if folder.exists():
        raise ConfigError(f"output: {folder} is there already; name a new folder")
    return folder


def _fitting_task(run: Path, asked: Asked) -> "tuple[RunTask, DictConfig, str]":
    """Return the run's task with the other data, its configuration, and in words what will be judged.

    Raises ConfigError or DataError where the data are not what the network was trained for.
    """
    task, config = rebuild(run, lambda config: _change(config.data, asked.data))
    task.remember(run)
    data: Any = task.data
    learned = read_checkpoint(weights_file(run)).get("network_arguments") or {}
    classes = (read_json(run / "data.json") or {}).get("classes")
    is_whole = "root" in asked.data and hasattr(data, "test_all")
    task.fetch_data()
    try:
        if is_whole:
            data.test_all(classes, learned)
        task.setup("test")
    except DataError as error:
        raise ConfigError(str(error)) from error
    if classes is not None and list(data.classes) != list(classes):
        raise ConfigError(
            f"data: the network knows the classes {', '.join(classes)}; these are {', '.join(data.classes)}"
        )
    for name, value in task.network_arguments().items():
        if name in learned and _plain(learned[name]) != _plain(value):
            raise ConfigError(f"data: the network takes {name} {learned[name]}, and these data give {value}")
    return task, config, "all examples" if is_whole else "the test split"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _change(data: DictConfig, words: dict[str, str]) -> None:
    """Put what was typed into the node of the data; a path is taken as it is."""
    for key, value in words.items():
        try:
            parsed = value if key in ("root", "table") else OmegaConf.create(f"value: {value}").value
            OmegaConf.update(data, key, parsed, force_add=True)
        except (OmegaConfBaseException, ValueError) as error:
            raise ConfigError(f"data.{key}: {value} is no value ({type(error).__name__})") from error
    if "root" in words and "folds" in data:  # what was said of the run's own folder
        for key in {"table", "fold", "folds"} & set(data) - set(words):
            data[key] = None


def _note(run: Path, asked: Asked, judged: str) -> dict[str, Any]:
    words = {f"data.{key}": value for key, value in asked.data.items()}
    return {"run": run.name, "run_folder": str(run), "words": words, "judged": judged, "started": time.time()}


def _judge(task: "RunTask", config: DictConfig, folder: Path, note: dict[str, Any]) -> dict[str, float]:
    """Test the task in a hidden folder, which gets its name once it is whole."""
    from workbench.train.trainer import build_tester

    new = folder.with_name(f".{folder.name}.new")
    try:
        new.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"output: {folder} cannot be made: {error.strerror}") from error
    try:
        trainer = build_tester(config, new)
        metrics = dict(trainer.test(task, verbose=False)[0])
        task.report(new)
        seen = task.data.fingerprint().items()
        tested = {name: part for name, part in seen if name not in ("train", "val")}
        write_json(new / "data.json", tested)
        note |= {"metrics": metrics, "seconds": round(time.time() - note["started"], 3)}
        write_json(new / NOTE, note)
        new.replace(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        with suppress(OSError):
            new.parent.rmdir()  # where it was made for this
        raise
    return metrics

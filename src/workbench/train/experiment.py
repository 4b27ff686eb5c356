"""One run, from top to bottom: choose the configuration, check and build, open the folder, train, end.

Until the folder is opened nothing is written, and a mistake is one line with exit code 2.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import Interrupted, Pruned, UserError, storage_told
from workbench.common.rank import rank
from workbench.common.redaction import redact
from workbench.common.stopping import StopSignals
from workbench.config.checks import check_config
from workbench.config.choose import choose_config
from workbench.config.command import resume_command
from workbench.config.hparams import drop_unread
from workbench.distributed.workers import learn_folder
from workbench.repeat.verdict import judge
from workbench.run.folder import is_run_folder, make_folder, name_folder
from workbench.run.log import begin_log, end_log, keep_log
from workbench.run.provenance import write_provenance
from workbench.run.summary import Recording
from workbench.run.trial import trial_folder
from workbench.tracking.trackers import build_trackers, describe
from workbench.tracking.uploader_process import MirrorProcess
from workbench.train.summary_table import closing_table
from workbench.train.worker import follow

if TYPE_CHECKING:
    from workbench.train.training import Parts

log = logging.getLogger(__name__)


@storage_told()
def run(composed: DictConfig) -> dict[str, float]:
    """Run one experiment and return its metrics."""
    if rank() > 0:
        follow(learn_folder())
        return {}
    overrides = _typed()
    config = _choose(composed, overrides)
    begin_log()
    try:
        check_config(config)
        trackers = build_trackers(config)
        parts, recording = _build_and_open(config, overrides)
        description = describe(config, recording.folder, recording.started, overrides)
        mirror = MirrorProcess(recording.folder, trackers, description)
        recording.begin()
        with _recorded(recording, mirror) as metrics:
            _open(recording, config, overrides)
            mirror.start()
            metrics |= _train(parts, config, recording)
            trouble = _save_model(parts, config, recording.folder)
    finally:
        end_log()
    if trial_folder() is None:
        verdict = _verdict(config, recording.folder, overrides)
        print(redact(closing_table(recording.folder, metrics, trackers, trouble, verdict)))
    return metrics


def _typed() -> list[str]:
    """Return the words that were typed, as they were typed: `${...}` in one is not for Hydra to resolve."""
    words: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(word) for word in words]


def _choose(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """Choose what was composed, or a run's own configuration with the words typed beside `resume=`."""
    config = choose_config(composed, overrides)
    if trial_folder() is not None:  # a typed key may be for other members of the sweep
        drop_unread(config)
    return config


def _build_and_open(config: DictConfig, overrides: list[str]) -> "tuple[Parts, Recording]":
    """Build and try all that may refuse, then make the folder; where a run took its name, begin again."""
    from workbench.train.training import build_parts, check_parts

    while True:
        folder, is_there = _folder(config)
        with ExitStack() as held:
            recording = Recording(folder) if is_there else None
            if recording:
                held.callback(recording.release)
            parts = build_parts(config, folder)
            check_parts(parts, overrides)
            if recording is None and make_folder(folder):
                recording = Recording(folder)
            if recording:
                held.pop_all()
                return parts, recording


def _folder(config: DictConfig) -> tuple[Path, bool]:
    """Return the run folder, and whether it is there: that of a run to go on, or of a trial."""
    if config.resume and not config.debug:  # which leaves no trace in the run that it looks into
        return Path(config.resume), True
    if folder := trial_folder():
        return folder, True
    return name_folder(Path(config.outputs), config.experiment_name), False


def _open(recording: Recording, config: DictConfig, overrides: list[str]) -> None:
    """Write what was asked for, and what was logged so far."""
    keep_log(recording.folder)
    said = "resumed: %s" if is_run_folder(recording.folder) else "started: %s"
    _note(said, " ".join(overrides) or "no override")
    write_provenance(recording.folder, config, overrides)


def _train(parts: "Parts", config: DictConfig, recording: Recording) -> dict[str, float]:
    from workbench.train.training import train

    return train(parts, config, recording.folder, recording.give_up)


def _save_model(parts: "Parts", config: DictConfig, folder: Path) -> str:
    from workbench.train.training import save_model

    return save_model(parts, config, folder)


def _verdict(config: DictConfig, folder: Path, overrides: list[str]) -> str:
    """Say how a repetition came out beside its original."""
    is_whole = config.repeat and not config.debug
    return str(judge(Path(config.repeat), folder, overrides)) if is_whole else ""


def _note(line: str, *values: str) -> None:
    log.info(line, *values, extra={"only_in_file": True})


def _go_on(folder: Path) -> str:
    """Return how to go on with a run; one that has no configuration yet cannot be resumed."""
    return resume_command(folder) if is_run_folder(folder) else "the same command again"


@contextmanager
def _recorded(recording: Recording, mirror: MirrorProcess) -> Iterator[dict[str, float]]:
    """Record in the run's summary, and tell the trackers, how the run ended, whatever happened."""
    metrics: dict[str, float] = {}
    folder = recording.folder
    status, error = "finished", None
    try:
        with StopSignals() as signals:
            try:
                with storage_told(
                    folder, lambda: f"what was kept is whole; put that right, then: {_go_on(folder)}"
                ):
                    yield metrics
            except Interrupted as stop:
                status = "interrupted"
                if trial_folder() is None:
                    print(f"\ninterrupted; to go on: {_go_on(folder)}")
                raise SystemExit(stop.exit_code) from None
            except Pruned as pruned:
                status = "pruned"
                _note("pruned %s", str(pruned))
            except UserError as mistake:
                status, error = "failed", str(mistake)
                details = mistake.details and f"\n{mistake.details}"
                log.error("%s%s", mistake, details, extra={"only_in_file": True})
                raise
            except BaseException as failure:
                status, error = "failed", f"{type(failure).__name__}: {failure}"
                log.exception("the run failed", extra={"only_in_file": True})
                raise
            finally:
                signals.hear(False)
                _note("%s %s", status, " ".join(f"{name}={value:.6g}" for name, value in metrics.items()))
                recording.write_end(status, metrics, error)
                mirror.close(status, may_be_left=lambda: signals.hear(True))
    finally:
        recording.release()

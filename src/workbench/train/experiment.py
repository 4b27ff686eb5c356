"""One experiment from top to bottom: choose the configuration, check it, open the run folder, train, tell."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from workbench.common.errors import Interrupted, Pruned, UserError, storage_told
from workbench.common.rank import rank
from workbench.common.stopping import StopSignals
from workbench.common.workspace import typed
from workbench.config.checks import check_config
from workbench.config.choose import choose_config
from workbench.config.hparams import drop_unread
from workbench.distributed.rendezvous import learn_folder
from workbench.run.folder import is_run_folder, new_folder
from workbench.run.log import end_log, start_log
from workbench.run.provenance import write_provenance
from workbench.run.summary import Recording
from workbench.run.trial import trial_folder
from workbench.tracking.trackers import build_trackers, describe
from workbench.tracking.uploader_process import MirrorProcess
from workbench.train.summary_table import closing_table
from workbench.train.worker import follow

log = logging.getLogger(__name__)


@storage_told()
def run(composed: DictConfig) -> dict[str, float]:
    """Run one experiment and return its metrics."""
    if rank() > 0:
        follow(learn_folder())
        return {}
    overrides = list(HydraConfig.get().overrides.task)
    config = choose_config(composed, overrides)
    if trial_folder() is not None:  # a typed key may be for other members of the sweep
        drop_unread(config)
    check_config(config)
    trackers = build_trackers(config)
    folder, resumed = _open_folder(config)
    recording = Recording(folder, resumed)
    mirror = MirrorProcess(folder, trackers, describe(config, folder, recording.started, overrides))
    with _told_when_it_ends(recording, mirror) as metrics:
        start_log(folder)
        _note("resumed: %s" if resumed else "started: %s", " ".join(overrides) or "no override")
        write_provenance(folder, config, overrides)
        mirror.start()
        from workbench.train.training import train

        metrics |= train(config, folder, recording.give_up)
    if trial_folder() is None:
        print(closing_table(folder, metrics, trackers))
    return metrics


def _open_folder(config: DictConfig) -> tuple[Path, bool]:
    """Return the run folder, and whether it holds a run to be continued."""
    if config.resume:
        return Path(config.resume), True
    if folder := trial_folder():
        return folder, is_run_folder(folder)
    return new_folder(Path(config.outputs), config.experiment_name), False


def _note(line: str, *values: str) -> None:
    log.info(line, *values, extra={"only_in_file": True})


@contextmanager
def _told_when_it_ends(recording: Recording, mirror: MirrorProcess) -> Iterator[dict[str, float]]:
    """Write into the run's summary, and tell the trackers, how the run ended, in whichever way that is."""
    metrics: dict[str, float] = {}
    status, error = "finished", None
    try:
        with StopSignals() as signals:
            go_on = f"python src/train.py resume={typed(recording.folder)}"
            try:
                with storage_told(recording.folder, f"what was kept is whole; put that right, then: {go_on}"):
                    yield metrics
            except Interrupted as stop:
                status = "interrupted"
                if trial_folder() is None:
                    print(f"\ninterrupted; to go on: {go_on}")
                raise SystemExit(stop.exit_code) from None
            except Pruned as pruned:
                status = "pruned"
                _note("pruned %s", str(pruned))
            except UserError as mistake:
                status, error = "failed", str(mistake)
                log.error(
                    "%s%s", mistake, mistake.details and f"\n{mistake.details}", extra={"only_in_file": True}
                )
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
        end_log()

"""Optuna's study of one sweep: opened or taken up again, asked for trials, told how they ended."""

import warnings
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.run.trial import TrialNote
from workbench.search.samplers import make_pruner, make_sampler
from workbench.search.storage import open_storage

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

FOLDER, AGAIN, ERROR = "folder", "again_for", "error"  # user attributes of a trial


def open_study(name: str, address: str, sweep: DictConfig, directions: list[str]) -> "Study":
    """Open a study, or create it; ConfigError where it cannot be reached or seeks another goal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    quieten()
    study = optuna.create_study(
        storage=open_storage(address),
        sampler=make_sampler(sweep, 0, 0),
        pruner=make_pruner(sweep),
        study_name=name,
        directions=[optuna.study.StudyDirection[direction.upper()] for direction in directions],
        load_if_exists=True,
    )
    found = [direction.name.lower() for direction in study.directions]
    if found != directions:
        raise ConfigError(f"sweep.direction: the study {name} in {address} seeks to {', '.join(found)}")
    return study


def quieten() -> None:
    """Leave out Optuna's word that a part of it may change: the version is pinned."""
    import optuna

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def running_trial(note: TrialNote) -> "Trial":
    """Return the trial that a run folder belongs to, from inside the run."""
    import optuna

    quieten()
    pruner = make_pruner(OmegaConf.create(note.pruner))
    study = optuna.load_study(study_name=note.study, storage=open_storage(note.storage), pruner=pruner)
    return optuna.trial.Trial(study, note.trial_id)


def running(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that are being run, here or elsewhere."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def waiting(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that are to be run whatever the sampler would choose."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.WAITING,))


def finished(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that count: those that were trained to their end, or pruned."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def enqueue_again(study: "Study", trial: "FrozenTrial | Trial") -> None:
    """Let a trial that was broken off be run by whoever asks next, in its own folder."""
    folder = folder_name(trial)
    study.enqueue_trial(trial.params, user_attrs={FOLDER: folder, AGAIN: trial.number})


def folder_name(trial: "FrozenTrial | Trial") -> str:
    """Return the name of a trial's run folder: its number, unless it takes up another's."""
    return str(trial.user_attrs.get(FOLDER, trial.number))


def replaced(trials: list["FrozenTrial"]) -> set[int]:
    """Return the numbers of trials that were broken off and have been taken up again."""
    return {int(trial.user_attrs[AGAIN]) for trial in trials if AGAIN in trial.user_attrs}


def fail(study: "Study", number: int) -> bool:
    """Mark a trial as failed; False where another worker was faster."""
    import optuna

    try:
        study.tell(number, state=optuna.trial.TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    return True


def tell(study: "Study", number: int, values: list[float] | None) -> None:
    """Record how a trial ended: with values, or pruned at the last one it reported."""
    from optuna.trial import TrialState

    if values is None:
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, values)

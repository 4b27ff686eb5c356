"""Where a study is kept: a journal in its folder, SQLite, or PostgreSQL for several machines.

Optuna's study of one sweep: opened or taken up again, asked for trials, told how they ended.
"""

import os
import time
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from workbench.common.errors import ConfigError
from workbench.common.redaction import is_secret_name
from workbench.common.workspace import load_env
from workbench.run.trial import TrialNote
from workbench.search.samplers import make_pruner, make_sampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial


VARIABLE = "OPTUNA_STORAGE"
JOURNAL, SQLITE, POSTGRES = "journal:///", "sqlite:///", "postgresql+psycopg://"
KINDS = "sqlite:///FILE, journal:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
DRAWN_OUT = 5  # attempts to create the tables of a database that another worker creates at the same time


def storage_address(typed: str | None, folder: Path) -> str:
    """Return the address of a study: `sweep.storage`, else OPTUNA_STORAGE, else a journal in `folder`.

    A password comes from the environment, and leaves the address: it goes to PGPASSWORD, where PostgreSQL's
    client looks for it. Raises ConfigError for a password that was typed, for two addresses, and for a kind
    of storage that is not known.
    """
    load_env()
    if typed and _without_password(typed, "sweep.storage")[1]:
        raise ConfigError(
            "sweep.storage: a password has no place on a command line, which is kept and shared;"
            f" set PGPASSWORD, or put the whole address into {VARIABLE}"
        )
    _hide_password()
    of_environment = os.environ.get(VARIABLE)
    chosen = typed or of_environment or f"{JOURNAL}{folder.absolute()}/study.journal"
    if typed and of_environment and _plain(typed, "sweep.storage") != _plain(of_environment, VARIABLE):
        raise ConfigError(f"sweep.storage={typed} and {VARIABLE}={of_environment} are two places; keep one")
    return _plain(chosen, "sweep.storage" if typed else VARIABLE)


def is_file(address: str) -> bool:
    """Tell whether a study is kept in a file."""
    return not address.startswith(POSTGRES)


def _hide_password() -> None:
    plain, password = _without_password(os.environ.get(VARIABLE, ""), VARIABLE)
    if password:
        os.environ[VARIABLE] = plain
        os.environ["PGPASSWORD"] = password


def _without_password(address: str, key: str) -> tuple[str, str]:
    """Part a database's address from its password; the rest of it still says the same."""
    if not address.startswith("postgres"):
        return address, ""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
        if "@" in (url.host or ""):
            raise ValueError
    except (ArgumentError, ValueError):
        raise ConfigError(f"{key}: it is not {KINDS}; within a password write @ as %40") from None
    in_query = url.query.get("password", "")
    password = (in_query if isinstance(in_query, str) else in_query[-1]) or url.password or ""
    plain = url.difference_update_query(["password"])._replace(password=None)
    for name in plain.query:
        if is_secret_name(name):  # it has no variable, and the address is written into each trial's folder
            raise ConfigError(f"{key}: {name} would be kept with each trial; leave it out of the address")
    return plain.render_as_string(hide_password=False), password


def _plain(address: str, key: str) -> str:
    scheme, _, rest = address.partition("://")
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return POSTGRES + rest
    for kind in (SQLITE, JOURNAL):
        if address.startswith(kind) and len(address) > len(kind):
            return kind + str(Path(address.removeprefix(kind)).expanduser().absolute())
    raise ConfigError(f"{key}: {address} is not {KINDS}")


@cache
def open_storage(address: str) -> "BaseStorage":
    """Open a storage, and create it where there is none; once in a process.

    Raises ConfigError where it cannot be reached.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if address.startswith(POSTGRES):
            return _open_postgres(address)
        path = Path(address.partition("://")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        if address.startswith(JOURNAL):
            return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        with FileLock(path.with_name(f".{path.name}.lock")):  # two that create a SQLite file break it
            return optuna.storages.RDBStorage(address, {"connect_args": {"timeout": 60}})
    except (OSError, SQLAlchemyError) as error:
        raise ConfigError(f"sweep.storage: {address} cannot be opened: {_reason(error)}") from error


def _open_postgres(address: str) -> "BaseStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for attempt in range(DRAWN_OUT):
        try:
            return RDBStorage(address, {"pool_pre_ping": True})
        except OperationalError:
            raise
        except (IntegrityError, ProgrammingError):  # another worker creates the same tables
            if attempt == DRAWN_OUT - 1:
                raise
            time.sleep(0.5 * (attempt + 1))
    raise AssertionError


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).splitlines()[0].split())


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

"""The files by which a sweep's folder and its trials' run folders are known; without Hydra or Optuna."""

from pathlib import Path

RESULTS = "optimization_results.yaml"
TABLE = "trials.csv"
NOTE = "trial.json"


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder holds the run folders of a sweep, one of which has ended."""
    return (folder / RESULTS).is_file()


def is_trial(run_folder: Path) -> bool:
    """Tell whether a run is a trial of a sweep."""
    return (run_folder / NOTE).is_file()

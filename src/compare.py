"""Compare anomaly detectors: every combination of what is typed with commas, in one table with intervals.

python src/compare.py task=autoencoder,vae data.category=part,brick seed=0,1,2 output=results.md
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HYDRA_FULL_ERROR", "1")

from hydra.utils import get_class

from workbench.common.errors import ConfigError, UserError
from workbench.common.process import begin_process
from workbench.config import composition
from workbench.config.explanations import explain, is_config_error
from workbench.search.grid import Cell, FinishedRuns, grid_of, run_missing

composition.register()


def compare(words: Sequence[str]) -> int:
    """Run what is missing of the grid, print the table, write it to `output=`; return the exit code."""
    from patchsets.anomaly.comparison import compare_runs, output_path, write_table

    path, words = output_path(words)
    cells = list(grid_of(words))
    for cell in cells:
        _check_task(cell)
    finished = FinishedRuns(Path(cells[0].config.outputs))
    failed = run_missing(cells, finished)
    runs = [(cell.varied, folder) for cell in cells if (folder := finished.find(cell.config)) is not None]
    if not runs:
        raise UserError("no run of the grid finished, so there is nothing to compare")
    table = compare_runs(runs)
    print(f"\n{table.as_text()}\n")
    if path is not None:
        write_table(path, table)
        print(f"written: {path}")
    return 1 if failed else 0


def _check_task(cell: Cell) -> None:
    from patchsets.task.anomaly import AnomalyTask

    if not issubclass(get_class(cell.config.task["_target_"]), AnomalyTask):
        said = next((word for word in cell.words if word.startswith("task=")), "task=classification")
        raise ConfigError(f"{said} finds no anomalies; compare takes task=autoencoder and its like")


def main() -> int:
    try:
        begin_process()
        return compare(sys.argv[1:])
    except UserError as error:
        return error.tell()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on with what is missing", file=sys.stderr)
        return 130
    except Exception as error:
        if not is_config_error(error):
            raise
        return ConfigError(explain(error)).tell()


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv) or len(sys.argv) == 1:
        print(__doc__)
        sys.exit(0)
    sys.exit(main())

"""Compare runs of any task: every combination of what is typed with commas, in one table with intervals.

python src/compare.py model=set_transformer,deep_sets seed=0,1,2
python src/compare.py model=attention_pool,deep_sets data=bags seed=0,1,2 metric=auroc output=results.tex
python src/compare.py task=autoencoder,vae data.category=part,brick seed=0,1,2 output=results.md

The words are train.py's; what is there already counts, the rest is run. Seeds, folds and splits are
averaged. metric= is what is compared, of the test split; output= a file .txt, .md, .tex or .csv, or several.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("HYDRA_FULL_ERROR", "1")

from hydra.utils import get_class

from workbench.common.errors import ConfigError, UserError
from workbench.common.process import begin_process
from workbench.config import composition
from workbench.config.explanations import explain, is_config_error
from workbench.history.publish import Table, take_outputs, write_table
from workbench.search.finished import KnownRuns
from workbench.search.grid import Cell, grid_of, run_missing

composition.register()


def compare(words: Sequence[str]) -> int:
    """Run what is missing of the grid, print the table, write it to `output=`; return the exit code."""
    from workbench.history.comparison import check_metric
    from workbench.train.experiment import run

    paths, words = take_outputs(words)
    metrics = [word.partition("=")[2] for word in words if word.startswith("metric=")]
    cells = grid_of([word for word in words if not word.startswith("metric=")])
    known = KnownRuns(Path(cells[0].config.outputs), [cell.config for cell in cells])
    is_one_task = bool(metrics) and "task" not in cells[0].varied  # tasks have metrics of their own
    check = partial(check_metric, metric=metrics[-1]) if is_one_task else lambda _: None
    failed = run_missing(cells, known, run, check)
    runs = [(cell.varied, folder) for cell in cells if (folder := known.find(cell.config)) is not None]
    if not runs:
        raise UserError("no run of the grid finished, so there is nothing to compare")
    table = _table(cells, runs, metrics[-1] if metrics else None)
    print(f"\n{table.as_text()}\n")
    for path in paths:
        write_table(path, table)
        print(f"written: {path}")
    return 1 if failed else 0


def _table(
    cells: Sequence[Cell], runs: Sequence[tuple[Mapping[str, str], Path]], metric: str | None
) -> Table:
    """Return the table of detectors where all judge the same images, else that of any task."""
    from patchsets.anomaly.comparison import REPEATED, compare_runs
    from patchsets.task.anomaly import AnomalyTask
    from workbench.history.comparison import compare_metrics
    from workbench.run.trial import is_repeated
    from workbench.search.samplers import as_list

    find_anomalies = all(issubclass(get_class(cell.config.task["_target_"]), AnomalyTask) for cell in cells)
    same_images = {key for key in cells[0].varied if is_repeated(key)} <= {REPEATED}
    if find_anomalies and same_images and (metric or "auroc").removeprefix("test/") == "auroc":
        return compare_runs(runs)
    direction = as_list(cells[0].config.sweep.direction)
    return compare_metrics(runs, metric or ("auroc" if find_anomalies else None), *direction[:1])


def main() -> int:
    try:
        begin_process()
        return compare(sys.argv[1:])
    except UserError as error:
        return error.tell()
    except (KeyboardInterrupt, SystemExit) as stop:  # between runs, and within one
        print("\ninterrupted; the same command goes on with what is missing", file=sys.stderr)
        return int(getattr(stop, "code", None) or 130)
    except Exception as error:
        if not is_config_error(error):
            raise
        return ConfigError(explain(error)).tell()


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv) or len(sys.argv) == 1:
        print(__doc__)
        sys.exit(0)
    sys.exit(main())

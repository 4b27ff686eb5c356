"""Judge other data by the trained network of a run: metrics, predictions and figures in a new folder.

python src/evaluate.py run=<run> data.root=<other folder>
python src/evaluate.py run=5e8b data.root=cohort_b data.table=cohort_b/labels.csv output=evaluations/cohort_b

run: a run folder, latest, the end of a name, or mlflow:<run id>. Words that begin with data. change the data
of the run; a folder (data.root=) is judged whole, anything else by its test split. Without a data word it is
the run's own test split again. What the network cannot take is refused: other classes, channels, widths.
"""

import sys

from workbench.common.errors import UserError

if __name__ == "__main__":
    if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
        print((__doc__ or "").strip())
        sys.exit(0)
    try:
        from workbench.common.process import begin_process

        begin_process()
        from workbench.models.evaluate import evaluate

        sys.exit(evaluate(sys.argv[1:]))
    except UserError as error:
        sys.exit(error.tell())
    except KeyboardInterrupt:
        sys.exit(130)

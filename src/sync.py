"""Send to its trackers what they lack of a run: after an outage, a kill, or to publish it somewhere else.

python src/sync.py outputs/patch_sets/latest                   to the trackers that the run was started with
python src/sync.py outputs/patch_sets/latest loggers=mlflow    to another one
python src/sync.py outputs                                     every run there, living ones excepted
"""

import sys

from workbench.common.errors import UserError
from workbench.common.process import begin_process
from workbench.config import composition
from workbench.tracking.sync import sync


def main() -> int:
    """Sync what the command line names; 0 where every tracker has everything now."""
    composition.register()
    try:
        begin_process()
        return 0 if sync(sys.argv[1:]) else 1
    except UserError as error:
        return error.tell()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command sends the rest", file=sys.stderr)
        return 130


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv) or len(sys.argv) == 1:
        print(__doc__)
        sys.exit(0)
    sys.exit(main())

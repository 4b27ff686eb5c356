"""Register the model of a run, so that others find it by name.

python src/register.py run=<run folder> name=kinoko alias=champion

The registry is MLflow's: the workspace's own store, or the server that MLFLOW_TRACKING_URI names. The run is
sent there first where it is not. The same command again changes nothing.
"""

import sys

from workbench.config.command import command

if __name__ == "__main__":
    sys.exit(command(__doc__ or "", "workbench.models.register:register"))

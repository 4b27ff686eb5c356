#!/usr/bin/env bash
# docker/mlflow.sh [port]
#
# Serve MLflow's UI from the container, at its port 5000 or the one given, over the store the loggers write; Ctrl-C ends it.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_port "${1:-5000}"

# Two processes that create a new store at once break it for good, which connect() prevents.
make_store='
import sys
from workbench.common.errors import UserError
from workbench.tracking.mlflow import artifact_location, connect, tracking_uri
from workbench.common.workspace import load_env
load_env()
try:
    uri = tracking_uri()
except UserError as error:
    sys.exit(f"mlflow.sh: {error}")
if uri.startswith("sqlite:"):
    connect(uri)
print(uri, artifact_location(uri), sep="\n")'
answer=$(docker exec "$container" python -c "$make_store") || exit 1
uri=${answer%%$'\n'*}
case $uri in
  http*) fail "the runs are on the server $uri: open it there" ;;
esac

note "MLflow: http://$address (answers in some seconds)"
serve --env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false -- mlflow server --host 0.0.0.0 --port "$port" --workers 1 \
  --backend-store-uri "$uri" --no-serve-artifacts --default-artifact-root "${answer#*$'\n'}"

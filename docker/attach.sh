#!/usr/bin/env bash
# docker/attach.sh
#
# Return to the command that docker/run.sh started. When it ends the container ends; ctrl-p ctrl-q leaves it running.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_running
if [ ! -t 0 ] || [ ! -t 1 ]; then fail "there is no terminal to attach; docker/exec.sh runs a command without one"; fi

status=0
docker attach "$container" || status=$?
if [ "$(container_state)" = running ]; then
  note "The container $container is still running."
  exit 0 # docker calls leaving it an error
fi
exit "$status"

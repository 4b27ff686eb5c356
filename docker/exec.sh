#!/usr/bin/env bash
# docker/exec.sh [command ...]
#
# Run a command (fish) in the running container, in /workspace; its exit code is returned.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_running

if [ -t 0 ] && [ -t 1 ]; then
  # Docker's own keys would hold back every ctrl-p, which calls up the previous command.
  exec docker exec --interactive --tty --detach-keys ctrl-q,ctrl-q "$container" "${@:-fish}"
fi
[ $# -gt 0 ] || fail "there is no terminal for a shell: give a command"
exec docker exec --interactive "$container" "$@"

#!/usr/bin/env bash
# docker/tensorboard.sh [port]
#
# Serve TensorBoard over outputs/ and multirun/ from the container, at its port 6006 or the one given; Ctrl-C ends it.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_port "${1:-6006}"

note "TensorBoard: http://$address"
serve -- tensorboard --logdir /opt/runs --host 0.0.0.0 --port "$port"

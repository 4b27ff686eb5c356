#!/usr/bin/env bash
# docker/jupyter.sh [port]
#
# Serve JupyterLab from the container, at its port 8888 or the one given; Ctrl-C ends it. It asks for the token
# JUPYTER_TOKEN of .env, else for a new one, which is part of the address shown.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_port "${1:-8888}"

# shellcheck disable=SC2016
if docker exec "$container" sh -c 'test -n "$JUPYTER_TOKEN"'; then
  token=() shown='(its token: JUPYTER_TOKEN)'
else
  JUPYTER_TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  export JUPYTER_TOKEN
  token=(--env JUPYTER_TOKEN) shown="?token=$JUPYTER_TOKEN"
fi
# JupyterLab refuses root, who on a rootless engine is the caller and nobody else.
if is_rootless; then root_is_caller=(--allow-root); else root_is_caller=(); fi

note "JupyterLab: http://$address/lab$shown"
serve ${token[@]+"${token[@]}"} -- jupyter lab --ip 0.0.0.0 --port "$port" --ServerApp.port_retries=0 --no-browser \
  --ServerApp.root_dir=/workspace --ServerApp.custom_display_url="http://$address/lab" \
  ${root_is_caller[@]+"${root_is_caller[@]}"}

#!/usr/bin/env bash
# docker/build.sh [argument of docker build ...]
#
# Build the image `patchsets` for the user who calls this. Takes minutes once, seconds after a change of user.
#
#   docker/build.sh --build-arg TORCH_BACKEND=cpu                  torch without CUDA
#   docker/build.sh --build-arg BASE_IMAGE=python:3.11-slim-trixie another base, with or without Python
#   docker/build.sh --no-cache --pull                              everything anew

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
require_engine

if [ "$(user_id)" = 0 ] && ! is_rootless; then
  note "You are root, so the container's user will be root too; call this as yourself to change that."
fi
exec docker build --tag "$image" --file "$root/docker/Dockerfile" \
  --build-arg USER_UID="$(user_id)" --build-arg USER_GID="$(group_id)" "$@" "$root"

#!/usr/bin/env bash
# docker/devcontainer.sh
#
# What .devcontainer/devcontainer.json has the host do first: .devcontainer/dataset becomes a link to $DATASET, since
# a mount there cannot read .env; an empty folder where it is not set.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"
load_env
folder=$(dataset)
link=$root/.devcontainer/dataset

if [ -L "$link" ]; then rm "$link"; fi
if [ -z "$folder" ]; then
  mkdir -p "$link"
elif [ -d "$folder" ]; then
  if [ -d "$link" ]; then rmdir "$link"; fi
  ln -s "$folder" "$link"
else
  fail "DATASET=$folder is not a folder"
fi

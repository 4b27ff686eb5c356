#!/usr/bin/env bash
# docker/run.sh [command ...]
#
# Create the container `patch_sets` and run a command in it (fish): the workspace at /workspace, $DATASET at
# /dataset, MLflow's, TensorBoard's and JupyterLab's ports on 127.0.0.1 and the variables of .env, where
# .env.default explains each. When the command ends, so does the container. ctrl-p ctrl-q leaves it running.

# shellcheck source=docker/common.sh
. "$(dirname "$(readlink -f "$0")")/common.sh"
help_if_asked "$@"

add_ports() {
  local name inside outside
  for name in MLFLOW_PORT:5000 TENSORBOARD_PORT:6006 JUPYTER_PORT:8888; do
    inside=${name#*:} name=${name%:*}
    outside=$(setting "$name" "$inside")
    is_port "$outside" || fail "$name=$outside is not a port (0 to 65535)"
    options+=(--publish "127.0.0.1:$outside:$inside")
  done
}

# All that .env names, but for what is the container's or the engine's own; and these where only the shell has them.
add_variables() {
  local name
  for name in ${env_names[@]+"${env_names[@]}"} MLFLOW_TRACKING_URI NEPTUNE_API_TOKEN NEPTUNE_PROJECT JUPYTER_TOKEN; do
    case " DATASET TZ PATH HOME SHELL USER PWD UID EUID PPID ${passed[*]-} " in *" $name "*) continue ;; esac
    if [[ $name != DOCKER_* && -n $(setting "$name") ]]; then passed+=("$name"); fi
  done
}

# --volume would make a folder that is missing, as root; --mount wants a source with , or " quoted.
add_mount() {
  local quote='"'
  options+=(--mount "type=bind,${quote}source=${1//$quote/$quote$quote}$quote,target=$2")
}

add_dataset() {
  local folder
  folder=$(dataset)
  if [ -z "$folder" ]; then
    note "DATASET is not set, so there is no /dataset (the embedded data need none)."
    return
  fi
  [ -d "$folder" ] || fail "DATASET=$folder is not a folder"
  add_mount "$folder" /dataset
  options+=(--env DATASET=/dataset)
}

# GPUS: auto takes what the engine says it has; anything else is a demand, and fails where it cannot be met.
add_gpus() {
  local gpus has="" device
  gpus=$(setting GPUS auto)
  if [[ $engine == *'"nvidia":{'* ]]; then has=runtime; elif [[ $engine == *nvidia.com/gpu* ]]; then has=cdi; fi
  case $gpus in
    none) note "GPU: none, as asked"; return ;;
    auto)
      if [ -z "$has" ]; then note "GPU: none, $(why_none)"; return; fi
      gpus=all ;;
    all | device=?*) ;;
    *) fail "GPUS=$gpus is none of auto, all, none and device=0,1" ;;
  esac
  note "GPU: $gpus"
  if [ "$has" = cdi ]; then
    gpus=${gpus#device=}
    for device in ${gpus//,/ }; do options+=(--device "nvidia.com/gpu=$device"); done
  else
    options+=(--gpus "\"$gpus\"")
  fi
}

why_none() {
  if nvidia-smi -L >/dev/null 2>&1; then
    echo "although this machine has one: Docker lacks the NVIDIA Container Toolkit (GPUS=all tries all the same)"
  else
    echo "the Docker engine offers none: starting on the CPU"
  fi
}

# Containers keep UTC unless told.
time_zone() {
  local zone
  zone=$(readlink /etc/localtime || true)
  case $zone in */zoneinfo/*) echo "${zone##*/zoneinfo/}" ;; esac
}

require_free_name() {
  local state
  state=$(container_state)
  case $state in
    '' | created | exited | dead) ;;
    *) fail "the container $container is $state already: docker/attach.sh or docker/exec.sh enter it, docker stop $container ends it" ;;
  esac
}

remove_ended() {
  if [ -n "$(container_state)" ]; then
    note "Removing the container $container that ended earlier."
    docker rm "$container" >/dev/null
  fi
}

require_image() {
  local built_for
  built_for=$(docker image inspect --format '{{index .Config.Labels "patchsets.uid"}}' "$image" 2>/dev/null) \
    || fail "there is no image $image: build it with docker/build.sh"
  [ "$built_for" = "$(user_id)" ] \
    || fail "the image $image is made for user $built_for, not $(user_id): docker/build.sh again takes seconds"
}

# A value travels in the environment of docker: its command line can be read by everyone on the machine.
create() {
  local name command=(docker create --name "$container" --interactive --tty --init --pull never
    --shm-size "$(setting SHM_SIZE 8g)" --env "TZ=$(setting TZ "$(time_zone)")"
    --mount "type=volume,source=${container}_history,target=/home/dev/.history" "${options[@]}")
  for name in ${passed[@]+"${passed[@]}"}; do command+=(--env "$name"); done
  command+=("$image" "$@")
  (
    for name in ${passed[@]+"${passed[@]}"}; do export "$name=$(setting "$name")"; done
    exec "${command[@]}" >/dev/null
  )
}

# shellcheck disable=SC2317
remove_if_never_started() {
  if [ "$(container_state)" = created ]; then docker rm --force "$container" >/dev/null; fi
}

explain_start() {
  local said=${1%%"$newline"*} taken='127\.0\.0\.1:([0-9]+)'
  said=${said#*daemon: }
  if [[ $said == *' already '* && $said =~ $taken ]]; then
    fail "port ${BASH_REMATCH[1]} is taken; free it, or choose with MLFLOW_PORT, TENSORBOARD_PORT, JUPYTER_PORT (0: any)"
  fi
  if [[ $said == *'device driver'* || $said == *nvidia* ]]; then
    fail "the engine could not give a GPU (GPUS=none starts without): $said"
  fi
  fail "the container did not start: $said"
}

# The terminal must be passed through, so only what docker itself says is caught.
start() {
  local said status=0
  if [ "$terminal" = yes ]; then
    { said=$(docker start --attach --interactive "$container" 2>&1 >&3 3>&-) || status=$?; } 3>&1
  else
    said=$(docker start "$container" 2>&1 >/dev/null) || status=$?
  fi
  if [ "$(container_state)" = created ]; then explain_start "$said"; fi
  if [ -n "$said" ]; then note "$said"; fi
  if [ "$(container_state)" = running ]; then
    note "The container $container is running: docker/attach.sh, docker/exec.sh, docker stop $container"
  fi
  exit "$status"
}

if [ -t 0 ] && [ -t 1 ]; then terminal=yes; else terminal=no; fi
options=() passed=()
load_env
require_engine
require_image
require_free_name
add_ports
add_variables
add_mount "$root" /workspace
add_dataset
add_gpus
if [ "$(getenforce 2>/dev/null || true)" = Enforcing ]; then options+=(--security-opt label=disable); fi
case ${1:-fish} in
  fish | bash | sh | zsh) options+=(--stop-signal SIGHUP) ;; # bash turns a deaf ear to SIGTERM, which a training hears
esac
remove_ended
trap remove_if_never_started EXIT
create "${@:-fish}"
if [ "$terminal" = no ]; then note "No terminal here, so it starts in the background: docker logs -f $container"; fi
start

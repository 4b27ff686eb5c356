# shellcheck shell=bash
# What the scripts beside this file share; each of them sources it. Kept to bash 3.2, which macOS still has.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034
image=${PATCHSETS_IMAGE:-patchsets}
container=${PATCHSETS_CONTAINER:-patch_sets}
newline=$'\n'

note() { echo "$*" >&2; }
fail() { note "$(basename "$0"): $*"; exit 1; }

# The comment a script opens with is its help.
help_if_asked() {
  case ${1-} in
    -h | --help) sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$(readlink -f "$0")"; exit 0 ;;
  esac
}

is_port() { [[ $1 =~ ^[0-9]{1,5}$ ]] && [ "$((10#$1))" -le 65535 ]; }

# --- .env, by the rules of python-dotenv -----------------------------------------------------------------

env_names=() env_values=()

# Read .env into these two; a name may come twice, and then the last one counts.
load_env() {
  local rest name start value line=1 key='^(export[[:blank:]]+)?([A-Za-z_][A-Za-z_0-9]*)[[:blank:]]*=[[:blank:]]*'
  [ -f "$root/.env" ] || return 0
  rest=$(tr -d '\r' <"$root/.env")$'\n'
  while skip_blank; [ -n "$rest" ]; do
    if [ "${rest:0:1}" = '#' ]; then
      drop "${rest%%"$newline"*}"
      continue
    fi
    [[ $rest =~ $key ]] || fail "$root/.env, line $line: not NAME=value"
    name=${BASH_REMATCH[2]}
    start=${BASH_REMATCH[0]}
    drop "$start"
    if [[ $start != *= && $rest == '#'* ]]; then value=; else read_value; fi
    expand
    env_names+=("$name")
    env_values+=("$value")
  done
}

# Leave in $found what .env says of a name, if it does.
find_in_env() {
  local i
  for ((i = ${#env_names[@]} - 1; i >= 0; i--)); do
    found=${env_values[i]}
    if [ "${env_names[i]}" = "$1" ]; then return 0; fi
  done
  return 1
}

# Print a variable: the shell's own, else that of .env, else the default. Empty is the same as not there.
setting() {
  local found
  found=$(printenv "$1") || true
  if [ -z "$found" ] && ! find_in_env "$1"; then found=; fi
  printf '%s\n' "${found:-${2-}}"
}

# Take a text off the front of $rest.
drop() {
  local newlines=${1//[!$newline]/}
  line=$((line + ${#newlines}))
  rest=${rest:${#1}}
}

skip_blank() { drop "${rest%%[![:space:]]*}"; }

# Take one value and the end of its line off $rest.
read_value() {
  local single="^'((\\\\.|[^'\\\\])*)'" double='^"((\\.|[^"\\])*)"' end="^[[:blank:]]*(#[^$newline]*)?$newline" comment='[[:blank:]]+#.*$'
  case ${rest:0:1} in
    "'") [[ $rest =~ $single ]] || fail "$root/.env, line $line: a quote is not closed" ;;
    '"') [[ $rest =~ $double ]] || fail "$root/.env, line $line: a quote is not closed" ;;
    *)
      value=${rest%%$'\n'*}
      drop "$value"
      while [[ $value =~ $comment ]]; do value=${value%"${BASH_REMATCH[0]}"}; done
      value=${value%"${value##*[![:space:]]}"}
      return
      ;;
  esac
  local quoted=${BASH_REMATCH[0]} text=${BASH_REMATCH[1]}
  drop "$quoted"
  [[ $rest =~ $end ]] || fail "$root/.env, line $line: something follows the closing quote"
  drop "${BASH_REMATCH[0]}"
  unescape "$text" "${quoted:0:1}"
}

# Set $value to a quoted text without its escapes: \\ and \' in single quotes, those of C in double ones.
unescape() {
  local text=$1 letters="\\'" letter
  if [ "$2" = '"' ]; then letters="\\'\"abfnrtv"; fi
  value=
  while [[ $text == *\\* ]]; do
    value+=${text%%\\*}
    text=${text#*\\}
    letter=${text:0:1}
    if [ -z "$letter" ] || [[ $letters != *"$letter"* ]]; then value+=\\; continue; fi
    case $letter in [a-z]) printf -v letter %b "\\$letter" ;; esac
    value+=$letter
    text=${text:1}
  done
  value+=$text
}

# Put values for the ${NAME} and ${NAME:-default} in $value.
expand() {
  local text=$value found whole name default reference='\$\{([^}:]*)(:-([^}]*))?\}'
  value=
  while [[ $text =~ $reference ]]; do
    whole=${BASH_REMATCH[0]} name=${BASH_REMATCH[1]} default=${BASH_REMATCH[3]-}
    find_in_env "$name" || found=$(printenv "$name") || found=$default
    value+=${text%%"$whole"*}$found
    text=${text#*"$whole"}
  done
  value+=$text
}

# Print a path as absolute; of a folder that exists, its real one.
absolute() {
  local path=$1
  if [[ $path =~ ^~(/|$) ]]; then path=$HOME${path:1}; fi
  if [ -d "$path" ]; then (cd "$path" && pwd -P); else echo "$path"; fi
}

# Print the folder of $DATASET, or nothing; in .env a relative one starts at the workspace.
dataset() {
  local folder
  if [ -z "$(printenv DATASET)" ]; then cd "$root"; fi
  folder=$(setting DATASET)
  if [ -n "$folder" ]; then absolute "$folder"; fi
}

# --- the engine ------------------------------------------------------------------------------------------

require_engine() {
  command -v docker >/dev/null || fail "docker is not on this machine: https://docs.docker.com/engine/install"
  if ! engine=$(docker info --format '{{json .}}' 2>&1); then
    case $engine in
      *'permission denied'*) fail "this user may not talk to the Docker engine: sudo usermod -aG docker $(id -un), then log in again" ;;
      *) fail "the Docker engine does not answer; start it (sudo systemctl start docker, or Docker Desktop)" ;;
    esac
  fi
}

is_rootless() { [[ $engine == *name=rootless* ]]; }

# The user to whom files shall belong: whoever called sudo; on a rootless engine its root, who is the caller.
user_id() { if is_rootless; then echo 0; else echo "${SUDO_UID:-$(id -u)}"; fi; }
group_id() { if is_rootless; then echo 0; else echo "${SUDO_GID:-$(id -g)}"; fi; }

# Print running, exited, created, ...; nothing where there is no such container.
container_state() { docker container inspect --format '{{.State.Status}}' "$container" 2>/dev/null || true; }

require_running() {
  local state
  require_engine
  state=$(container_state)
  case $state in
    running) ;;
    '') fail "there is no container $container: start one with docker/run.sh" ;;
    *) fail "the container $container is $state, not running: start a new one with docker/run.sh" ;;
  esac
}

# --- the servers -----------------------------------------------------------------------------------------

# Print the host's address of a port of the container.
published() { docker port "$container" "$1/tcp" 2>/dev/null | head -n 1 || true; }

# Leave the port asked for in $port and the host's address of it in $address.
require_port() {
  local sockets
  port=$1
  if ! is_port "$port" || [ "$((10#$port))" = 0 ]; then fail "'$port' is not a port (1 to 65535)"; fi
  require_running
  address=$(published "$port")
  [ -n "$address" ] || fail "port $port of the container is not published; these are: $(docker port "$container" | sed 's,/.*,,' | sort -u | paste -sd ' ' -)"
  sockets=$(docker exec "$container" sh -c 'cat /proc/net/tcp /proc/net/tcp6 2>/dev/null') || true
  if grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$((10#$port))") [0-9A-F:]* 0A " <<<"$sockets"; then
    fail "something already listens on port $port of the container: open http://$address, or give another port"
  fi
}

# These two run in the container: a server in a process group of its own, and what ends it when stdin does.
# shellcheck disable=SC2016
keeper='
watch=$1; shift
exec 3<&0
setsid "$@" </dev/null 3<&- & server=$!
setsid sh -c "$watch" "$server" <&3 >/dev/null 2>&1 & watcher=$!
wait "$server"; status=$?
kill -KILL "-$server" 2>/dev/null; kill -KILL "-$watcher" 2>/dev/null
exit "$status"'
# shellcheck disable=SC2016
watch='
cat
kill -TERM "-$0" || kill -TERM "$0"
for _ in $(seq 50); do sleep 0.1; kill -0 "-$0" || exit; done
kill -KILL "-$0"'

# Serve until stopped: `serve [option of docker exec ...] -- command ...`. Docker lets a command live on when its
# client is killed or its terminal closed; this one ends with the script, however that ends, as the pipe then closes.
serve() {
  local options=() folder client status=0
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  folder=$(mktemp -d)
  mkfifo "$folder/lifeline"
  exec 9<>"$folder/lifeline"
  exec 8<"$folder/lifeline"
  rm -r "$folder"
  set -m # a group of its own, so that Ctrl-C reaches this script alone, which sees to an orderly end
  docker exec -i ${options[@]+"${options[@]}"} "$container" sh -c "$keeper" keeper "$watch" "$@" <&8 8<&- 9>&- &
  client=$!
  set +m
  exec 8<&-
  trap 'exec 9>&-; wait "$client" || true; exit 130' INT
  trap 'exec 9>&-; wait "$client" || true; exit 143' TERM HUP
  wait "$client" || status=$?
  exit "$status"
}

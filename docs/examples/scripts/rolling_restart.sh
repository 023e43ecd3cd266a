#!/bin/sh
# Restarts servers one after the other, and waits after each until every partition has all its members again, so that
# the cluster never misses more than one. The first word is the command that restarts a server, with @ for its name.
#
#   META=10.0.0.1:34601 docs/examples/scripts/rolling_restart.sh "ssh @ systemctl restart pegasus-replica" db1 db2 db3
#   PEGASUS="deno task" docs/examples/scripts/rolling_restart.sh \
#     "deno task onebox stop-one @ && deno task onebox start-one @" r1 r2 r3
set -eu
pegasus=${PEGASUS:-pegasus}
meta=${META:-127.0.0.1:34601}
wait_seconds=${WAIT_SECONDS:-600}
restart=${1:?"write the command that restarts a server, with @ for its name"}
shift

# Whether no partition of any table lacks a member.
all_healthy() {
  tables=$($pegasus shell --meta "$meta" --json -e "ls -d" < /dev/null) || return 1
  case $tables in
    *'"unhealthy":'[1-9]*) return 1 ;;
    *) return 0 ;;
  esac
}

until_healthy() {
  end=$(($(date +%s) + wait_seconds))
  until all_healthy; do
    if [ "$(date +%s)" -ge "$end" ]; then
      echo "Partitions still lack members after $wait_seconds s: stopping here" >&2
      exit 1
    fi
    sleep 1
  done
}

until_healthy
for server in "$@"; do
  echo "Restarting $server"
  sh -c "$(printf '%s' "$restart" | sed "s/@/$server/g")" < /dev/null
  until_healthy
done
echo "Restarted $# servers"

#!/bin/sh
# register.sh CONNECT NAME FILE TOPIC...: makes the connector NAME of the settings in FILE, or changes it to them, and waits until it runs and has written
# the first record of each topic. Running it again does no harm.
set -eu
connect=$1 name=$2 file=$3
shift 3
curl --fail --silent --show-error --retry 5 --retry-all-errors -X PUT -H 'Content-Type: application/json' --data "@$file" "$connect/connectors/$name/config" >/dev/null
for _ in $(seq 120); do
  status=$(curl --silent "$connect/connectors/$name/status" || true)
  case $status in
    *'"state":"FAILED"'*)
      echo "$name failed: $status" >&2
      exit 1
      ;;
  esac
  topics=$(curl --silent "$connect/connectors/$name/topics" || true)
  missing=
  for topic in "$@"; do
    case $topics in *"\"$topic\""*) ;; *) missing="$missing $topic" ;; esac
  done
  if [ -z "$missing" ]; then
    echo "$name runs and writes to $*"
    exit 0
  fi
  sleep 1
done
echo "$name has not written to$missing; its state: $status" >&2
exit 1

#!/bin/sh
# Starts Kafka. The first start formats the log directory and creates the SCRAM users whose passwords are given as secrets.
#
#   start.sh server.properties
set -eu
config=$1
bin=${KAFKA_BIN:-/opt/kafka/bin}
secrets=${KAFKA_SECRETS:-/run/secrets}
logs=$(sed -n 's/^log\.dirs=//p' "$config")

if [ ! -e "$logs/meta.properties" ]; then
  # Every user who can list processes sees a program's arguments. So the arguments are in a private file, one per line, which kafka-storage
  # reads as @file; printf is a builtin of the shell, so its arguments are not visible.
  arguments=$(mktemp)
  trap 'rm -f "$arguments"' EXIT
  printf '%s\n' format --standalone --cluster-id "$("$bin/kafka-storage.sh" random-uuid)" --config "$config" > "$arguments"
  for file in "$secrets"/kafka-user-*; do
    [ -e "$file" ] || continue
    printf -- '--add-scram\nSCRAM-SHA-512=[name=%s,password=%s]\n' "${file##*/kafka-user-}" "$(cat "$file")" >> "$arguments"
  done
  "$bin/kafka-storage.sh" "@$arguments" > /dev/null  # kafka-storage would print the salted passwords
  rm -f "$arguments"
  trap - EXIT
fi
exec "$bin/kafka-server-start.sh" "$config"

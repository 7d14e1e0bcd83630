#!/bin/sh
# Becomes Kafka; the first start formats the log directory and makes the SCRAM users whose passwords are given as secrets.
#
#   start.sh server.properties
set -eu
config=$1
bin=${KAFKA_BIN:-/opt/kafka/bin}
secrets=${KAFKA_SECRETS:-/run/secrets}
logs=$(sed -n 's/^log\.dirs=//p' "$config")

if [ ! -e "$logs/meta.properties" ]; then
  set -- format --standalone --cluster-id "$("$bin/kafka-storage.sh" random-uuid)" --config "$config"
  for file in "$secrets"/kafka-user-*; do
    [ -e "$file" ] || continue
    set -- "$@" --add-scram "SCRAM-SHA-512=[name=${file##*/kafka-user-},password=$(cat "$file")]"
  done
  "$bin/kafka-storage.sh" "$@" > /dev/null  # it would print the salted passwords
fi
exec "$bin/kafka-server-start.sh" "$config"

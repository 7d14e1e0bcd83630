#!/bin/sh
# Grants the rights in acls.txt, as `admin`; to grant them again has no effect.
#
#   acls.sh kafka:9093 acls.txt
set -eu
bootstrap=$1
rules=$2
bin=${KAFKA_BIN:-/opt/kafka/bin}
secrets=${KAFKA_SECRETS:-/run/secrets}
client=$(mktemp)
trap 'rm -f "$client"' EXIT
cat > "$client" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$(cat "$secrets/kafka-user-admin")";
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/kafka-ca
END

sed -e 's/#.*//' -e '/^ *$/d' "$rules" | while read -r user kind names operations; do
  pattern=literal
  case $names in
    *'*') pattern=prefixed; names=${names%?} ;;
  esac
  set -- --add --allow-principal "User:$user" --resource-pattern-type "$pattern"
  for name in $(echo "$names" | tr , ' '); do
    set -- "$@" "--$kind" "$name"
  done
  for operation in $operations; do
    set -- "$@" --operation "$operation"
  done
  "$bin/kafka-acls.sh" --bootstrap-server "$bootstrap" --command-config "$client" "$@" < /dev/null > /dev/null
  echo "granted: $user $kind $names $operations"
done

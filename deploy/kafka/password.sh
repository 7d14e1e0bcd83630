#!/bin/sh
# Sets the SCRAM passwords of users to their secrets. Run it in Kafka's container for a new user, or after a secret changed.
#
#   password.sh USER...
set -eu
bin=${KAFKA_BIN:-/opt/kafka/bin}
secrets=${KAFKA_SECRETS:-/run/secrets}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Authenticate by the broker's certificate, not by a password, so that the password of `admin` can change too.
cat > "$scratch/client" <<END
security.protocol=SSL
ssl.keystore.type=PEM
ssl.keystore.location=$secrets/kafka-key
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/kafka-ca
END

for user in "$@"; do
  printf 'SCRAM-SHA-512=password=%s\n' "$(cat "$secrets/kafka-user-$user")" > "$scratch/password"
  "$bin/kafka-configs.sh" --bootstrap-server "${KAFKA_BROKER:-127.0.0.1:9094}" --command-config "$scratch/client" \
    --alter --add-config-file "$scratch/password" --entity-type users --entity-name "$user"
done

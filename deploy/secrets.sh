#!/bin/sh
# Creates the certificates and passwords of docker-compose.secure.yml; existing files are kept.
#
#   sh deploy/secrets.sh [NAME-OR-ADDRESS…]     further names by which clients reach Kafka, besides `kafka` and `localhost`
#
# Only its owner can enter the folder. All users can read the files in it, because the containers run as other users.
set -eu
folder=${WEIR_SECRETS:-$(dirname "$0")/secrets}
days=825
users="admin topics shipper score watch ledger bridge trainer delivery reader operator"

command -v openssl >/dev/null || { echo "secrets.sh: openssl is not on PATH; install it (Debian: apt-get install openssl)" >&2; exit 1; }
umask 077
mkdir -p "$folder"
chmod 0700 "$folder"

for user in $users; do
  [ -s "$folder/kafka-user-$user" ] || openssl rand -hex 32 > "$folder/kafka-user-$user"
done

if [ ! -s "$folder/kafka-key.pem" ]; then
  names="DNS:kafka,DNS:localhost,IP:127.0.0.1"
  for name in "$@"; do
    case $name in
      *:*) names="$names,IP:$name" ;;
      *[!0-9.]*) names="$names,DNS:$name" ;;
      *) names="$names,IP:$name" ;;
    esac
  done
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # openssl prints its progress to stderr, so stderr is shown only after a failure.
  run_openssl() {
    openssl "$@" 2> "$scratch/errors" && return
    cat "$scratch/errors" >&2
    echo "secrets.sh: openssl cannot create a certificate for $names; correct the names and addresses" >&2
    exit 1
  }
  run_openssl req -x509 -newkey rsa:3072 -nodes -days $days -subj "/CN=weir-kafka-ca" -keyout "$scratch/ca.key" -out "$scratch/ca.pem" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
  run_openssl req -newkey rsa:3072 -nodes -subj "/CN=kafka" -keyout "$scratch/kafka.key" -out "$scratch/kafka.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n' "$names" > "$scratch/extensions"
  run_openssl x509 -req -in "$scratch/kafka.csr" -CA "$scratch/ca.pem" -CAkey "$scratch/ca.key" -CAserial "$scratch/serial" -CAcreateserial -days $days \
    -extfile "$scratch/extensions" -out "$scratch/kafka.crt"
  # The CA's key is not kept, so that nobody can sign with it; another certificate needs a new CA.
  cat "$scratch/kafka.key" "$scratch/kafka.crt" "$scratch/ca.pem" > "$scratch/key.pem"
  # Replace the old file, which is read-only, by a new file: running containers still read the old one.
  mv -f "$scratch/ca.pem" "$folder/kafka-ca.pem"
  mv -f "$scratch/key.pem" "$folder/kafka-key.pem"
fi
chmod 0444 "$folder"/kafka-*
echo "secrets of docker-compose.secure.yml are in $folder"

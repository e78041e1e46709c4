#!/bin/sh
# Makes up a password for everybody who connects. Compose, Kubernetes and systemd take them as variables from a file:
#
#   sh deploy/passwords.sh > deploy/.env
set -eu

for name in COORDINATOR SYSTEM TOOL LOG ADMIN GRAFANA; do
    # A letter in front: nats-server would read one of digits alone as a number.
    printf '%s_PASSWORD=p%s\n' "$name" "$(od -An -N 24 -t x1 /dev/urandom | tr -d ' \n')"
done

